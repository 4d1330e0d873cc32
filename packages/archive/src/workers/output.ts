import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { digestFromHex, fromSystemError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import type { ByteSource } from '../byte-source.js';
import type { JobControl } from './job-control.js';
import type { WriteTarget, WrittenBytes } from './jobs.js';

/** How long to wait for the reader of a pipe, in milliseconds, before looking for a cancellation again. */
const PIPE_WAIT = 5;

/**
 * Writes bytes to a file or descriptor, counting and hashing them. A file that an error leaves behind is the caller's to
 * remove.
 */
export class Output implements Disposable {
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #subject: string;
  readonly #hash: Hash = createHash('sha256');
  #size = 0;

  constructor(
    to: WriteTarget,
    private readonly control: JobControl,
  ) {
    this.#subject = 'path' in to ? to.path : `descriptor ${to.fd}`;
    this.#owned = 'path' in to;
    this.#fd = 'path' in to ? openOutput(to.path) : to.fd;
  }

  writeAll(source: ByteSource): void {
    for (const chunk of source) this.write(chunk);
  }

  /** @throws StoreError ERR_NO_SPACE, ERR_IO, ERR_ABORTED */
  write(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    for (let offset = 0; offset < chunk.length;) offset += this.#writeSome(chunk, offset);
    this.#size += chunk.length;
    this.control.advance(chunk.length);
  }

  /** Once, at the end. */
  result(): WrittenBytes {
    return { digest: digestFromHex(this.#hash.digest('hex')), size: this.#size };
  }

  [Symbol.dispose](): void {
    if (this.#owned) closeSync(this.#fd);
  }

  #writeSome(chunk: Uint8Array, offset: number): number {
    try {
      return writeSync(this.#fd, chunk, offset);
    } catch (error) {
      // Node opens the pipes of stdout without blocking; a slow reader is no fault.
      if (!hasErrno(error, 'EAGAIN')) throw fromSystemError(error, this.#subject);
      this.control.pause(PIPE_WAIT);
      return 0;
    }
  }
}

function openOutput(path: string): number {
  try {
    return openSync(path, 'w', 0o644);
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
