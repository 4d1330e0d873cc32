import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from '../compression/buffer.js';
import type { TarEntry } from '../tar/entry.js';
import { encodeHeader, END_OF_ARCHIVE, padding, type TarWriteOptions } from '../tar/writer.js';
import { readContent } from './compare-entries.js';

/** Gathers headers and content into chunks of one length, in one buffer that is used again for each. */
export class TarOutput {
  readonly #buffer: Buffer;
  #used = 0;

  constructor(
    private readonly options: TarWriteOptions,
    chunkBytes = BUFFER_SIZE,
  ) {
    this.#buffer = Buffer.allocUnsafe(chunkBytes);
  }

  header(entry: TarEntry): ByteSource {
    return this.#add(encodeHeader(entry, this.options));
  }

  /** Header blocks that are encoded already. */
  raw(blocks: Buffer): ByteSource {
    return this.#add(blocks);
  }

  /**
   * The content of an open file from its position on, and the padding after it.
   * @throws StoreError ERR_IO when the file ends before `size`
   */
  *content(fd: number, size: number, path: Buffer): ByteSource {
    for (let left = size; left > 0;) {
      const room = this.#buffer.subarray(this.#used, Math.min(this.#used + left, this.#buffer.length));
      const count = readContent(fd, room, path);
      this.#used += count;
      left -= count;
      if (this.#used === this.#buffer.length) yield this.#take();
    }
    yield* this.#add(padding(size));
  }

  *end(): ByteSource {
    yield* this.#add(END_OF_ARCHIVE);
    if (this.#used > 0) yield this.#take();
  }

  *#add(bytes: Buffer): ByteSource {
    for (let offset = 0; offset < bytes.length;) {
      const copied = bytes.copy(this.#buffer, this.#used, offset);
      offset += copied;
      this.#used += copied;
      if (this.#used === this.#buffer.length) yield this.#take();
    }
  }

  #take(): Buffer {
    const filled = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    return filled;
  }
}
