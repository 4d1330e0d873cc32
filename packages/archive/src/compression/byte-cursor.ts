import type { ByteSource } from '../byte-source.js';

/** Reads a source in pieces of the reader's choice, across its chunks. */
export class ByteCursor implements Disposable {
  readonly #iterator: Iterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(source: ByteSource) {
    this.#iterator = source[Symbol.iterator]();
  }

  /** Between 1 and `length` bytes of the current chunk, valid until the next call; `undefined` at the end. */
  take(length: number): Buffer | undefined {
    if (this.#offset === this.#chunk.length && !this.#refill()) return undefined;
    const taken = this.#chunk.subarray(this.#offset, this.#offset + length);
    this.#offset += taken.length;
    return taken;
  }

  /** A copy of the next `length` bytes; shorter only at the end. */
  field(length: number): Buffer {
    const field = Buffer.alloc(length);
    let have = 0;
    while (have < length) {
      const part = this.take(length - have);
      if (part === undefined) break;
      have += part.copy(field, have);
    }
    return field.subarray(0, have);
  }

  [Symbol.dispose](): void {
    this.#iterator.return?.();
  }

  #refill(): boolean {
    for (;;) {
      const step = this.#iterator.next();
      if (step.done === true) return false;
      if (step.value.length === 0) continue;
      this.#chunk = step.value;
      this.#offset = 0;
      return true;
    }
  }
}
