import { REQUEST_BUFFER_BYTES, REQUEST_HEADER_BYTES } from './protocol.js';

const HIGH = 0x1_0000_0000;

/** A buffer that requests are read into, one after the other, and what stands in it. */
export class FuseRequest {
  readonly bytes: Buffer;
  readonly #view: DataView;
  /** Bytes of the request that is in the buffer. */
  length = 0;
  /** Where the request's own fields begin. */
  readonly body = REQUEST_HEADER_BYTES;

  constructor(bytes: Uint8Array = new Uint8Array(REQUEST_BUFFER_BYTES)) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.length = bytes.byteLength;
  }

  get opcode(): number {
    return this.#view.getUint32(4, true);
  }

  get unique(): bigint {
    return this.#view.getBigUint64(8, true);
  }

  get node(): number {
    return this.number(16);
  }

  /** The thread that asks, as the PID namespace of the mount sees it; 0 when it does not. */
  get process(): number {
    return this.#view.getUint32(32, true);
  }

  uint32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  bigint(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }

  /** 64 bits; exact up to 2^53. */
  number(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * HIGH;
  }

  /** The name that begins at `at`: bytes without the NUL that ends it, in the request's own buffer. */
  name(at: number): Buffer {
    const end = this.bytes.indexOf(0, at);
    return this.bytes.subarray(at, end < 0 || end > this.length ? this.length : end);
  }

  /** The request's bytes, for another thread. */
  copy(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, 0, this.length);
  }
}
