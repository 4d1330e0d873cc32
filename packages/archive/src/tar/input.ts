import type { ByteSource } from '../byte-source.js';
import { truncated } from './archive-errors.js';
import { BLOCK_SIZE } from './block.js';
import type { TarObserver } from './observer.js';

const EMPTY_CHUNK = Buffer.alloc(0);

/**
 * A position in the bytes of an archive: hands out blocks, payload slices and copies, and tells the observer of every
 * byte that was passed, in order. Blocks and slices are valid until the next call, because chunks are reused.
 */
export class TarInput {
  readonly #chunks: Iterator<Buffer>;
  readonly #observer: TarObserver | undefined;
  readonly #scratch = Buffer.alloc(BLOCK_SIZE);
  #chunk: Buffer = EMPTY_CHUNK;
  #position = 0;
  /** Where the bytes of the chunk begin that the observer has not seen. */
  #unseen = 0;
  /** Bytes of the archive before the chunk. */
  #base = 0;

  constructor(source: ByteSource, observer: TarObserver | undefined) {
    this.#chunks = source[Symbol.iterator]();
    this.#observer = observer;
  }

  /** Bytes of the archive that were passed. */
  get offset(): number {
    return this.#base + this.#position;
  }

  /** Bytes that can be taken without asking the source. */
  get available(): number {
    return this.#chunk.length - this.#position;
  }

  /** The next block; shorter where the archive ends, empty after its end. */
  block(): Buffer {
    const start = this.#position;
    if (this.#chunk.length - start >= BLOCK_SIZE) {
      this.#position = start + BLOCK_SIZE;
      return this.#chunk.subarray(start, this.#position);
    }
    const length = this.#copy(this.#scratch, BLOCK_SIZE);
    return this.#scratch.subarray(0, length);
  }

  /** A copy of the next `length` bytes. @throws StoreError ERR_TRUNCATED */
  copy(length: number, what: string): Buffer {
    const target = Buffer.allocUnsafe(length);
    if (this.#copy(target, length) < length) throw truncated(what);
    return target;
  }

  /** Passes up to `length` bytes as part of the raw archive and returns how many there were. */
  skip(length: number): number {
    let rest = length;
    while (rest > 0 && this.#ready()) rest -= this.#advance(rest);
    return length - rest;
  }

  /** Up to `limit` bytes of payload, at least one; undefined where the archive ends. */
  payload(limit: number): Buffer | undefined {
    if (!this.#ready()) return undefined;
    this.showRaw();
    const start = this.#position;
    const end = start + this.#advance(limit);
    const slice = this.#chunk.subarray(start, end);
    this.#unseen = end;
    this.#observer?.payload(slice);
    return slice;
  }

  /** Shows the observer the raw bytes that were passed since the last call. */
  showRaw(): void {
    if (this.#position === this.#unseen) return;
    this.#observer?.segment(this.#chunk.subarray(this.#unseen, this.#position));
    this.#unseen = this.#position;
  }

  /** Passes everything that is left. */
  drain(): void {
    while (this.#ready()) this.#position = this.#chunk.length;
    this.showRaw();
  }

  /** Tells the source that no more will be asked of it. */
  close(): void {
    this.#chunks.return?.();
  }

  #copy(target: Buffer, length: number): number {
    let filled = 0;
    while (filled < length && this.#ready()) {
      const start = this.#position;
      const count = this.#advance(length - filled);
      this.#chunk.copy(target, filled, start, start + count);
      filled += count;
    }
    return filled;
  }

  #advance(limit: number): number {
    const count = Math.min(limit, this.#chunk.length - this.#position);
    this.#position += count;
    return count;
  }

  /** Makes sure that a byte is at hand; false at the end of the source. */
  #ready(): boolean {
    while (this.#position === this.#chunk.length) {
      this.showRaw();
      const result = this.#chunks.next();
      this.#base += this.#chunk.length;
      this.#position = 0;
      this.#unseen = 0;
      this.#chunk = result.done === true ? EMPTY_CHUNK : result.value;
      if (result.done === true) return false;
    }
    return true;
  }
}
