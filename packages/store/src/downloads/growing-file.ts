import { closeSync, constants, fstatSync, ftruncateSync, openSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { FileGrowth, type BlobSource } from '@layerstore/archive';
import { fromSystemError } from '@layerstore/core';
import type { BlobSink } from '@layerstore/oci';

const writeTo = promisify(write);

/**
 * The file that a download writes and an archive thread reads at the same time. What an earlier download left in it counts as its
 * beginning.
 */
export class GrowingFile implements BlobSink, AsyncDisposable {
  position: number;
  private readonly growth = new FileGrowth();
  /** One write is under way while the next chunk is received. */
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly fd: number,
    size: number,
  ) {
    this.position = size;
    this.growth.announce(size);
  }

  /**
   * @param limit bytes of the complete file; a longer one is begun anew
   * @throws StoreError ERR_NO_SPACE, ERR_IO
   */
  static open(path: string, limit: number): GrowingFile {
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      const { size } = fstatSync(fd);
      if (size > limit) ftruncateSync(fd, 0);
      return new GrowingFile(path, fd, size > limit ? 0 : size);
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /** For the job that reads it. */
  get source(): BlobSource {
    return { path: this.path, growth: this.growth.memory };
  }

  async write(chunk: Buffer): Promise<void> {
    await this.writing;
    const start = this.position;
    this.position += chunk.length;
    this.writing = this.append(chunk, start);
    // Its failure is thrown by the next write, or by `complete`.
    this.writing.catch(() => undefined);
  }

  /** Tells the reader that all is there. @throws StoreError of the last write */
  async complete(): Promise<void> {
    await this.writing;
    this.growth.complete();
  }

  /** Tells the reader that the rest will not come. */
  fail(): void {
    this.growth.fail();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writing.catch(() => undefined);
    closeSync(this.fd);
  }

  private async append(chunk: Buffer, start: number): Promise<void> {
    try {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await writeTo(this.fd, chunk, done, chunk.length - done, start + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw fromSystemError(error, this.path);
    }
    this.growth.announce(start + chunk.length);
  }
}
