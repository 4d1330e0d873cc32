import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { digestFromHex, fromSystemError, StoreError, type Digest } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from '../compression/buffer.js';
import type { JobControl } from './job-control.js';
import type { BlobSource } from './jobs.js';

/** Reads a blob in one reused buffer, counting and hashing it. */
export class BlobReader implements Disposable {
  size = 0;
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #subject: string;
  readonly #hash: Hash = createHash('sha256');
  #hashing = true;
  #position: number | null;
  #left: number;

  /** @throws StoreError ERR_NOT_FOUND, ERR_IO; ERR_TRUNCATED when the file is shorter than the range */
  constructor(
    source: BlobSource,
    private readonly control: JobControl,
  ) {
    this.#subject = 'path' in source ? source.path : `descriptor ${source.fd}`;
    this.#owned = 'path' in source;
    this.#fd = 'path' in source ? openBlob(source.path) : source.fd;
    const offset = 'path' in source ? source.offset : undefined;
    const length = 'path' in source ? source.length : undefined;
    const range = length === undefined && offset === undefined;
    this.#position = range ? null : (offset ?? 0);
    this.#left = length ?? Number.POSITIVE_INFINITY;
    if (length !== undefined && fstatSync(this.#fd).size < (offset ?? 0) + length) {
      this[Symbol.dispose]();
      throw new StoreError('ERR_TRUNCATED', 'the file ends before the layer does', { subject: this.#subject });
    }
  }

  /** For a caller who hashes the same bytes elsewhere; {@link digest} has no meaning then. */
  stopHashing(): void {
    this.#hashing = false;
  }

  /** Of all bytes read; once, at the end. */
  digest(): Digest {
    return digestFromHex(this.#hash.digest('hex'));
  }

  /** Continues where the last iteration ended: a second one reads the rest. */
  *[Symbol.iterator](): Generator<Buffer, void, undefined> {
    const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
    for (;;) {
      const count = this.#read(buffer);
      if (count === 0) return;
      this.size += count;
      this.#left -= count;
      if (this.#position !== null) this.#position += count;
      const chunk = buffer.subarray(0, count);
      if (this.#hashing) this.#hash.update(chunk);
      this.control.advance(count);
      yield chunk;
    }
  }

  [Symbol.dispose](): void {
    if (this.#owned) closeSync(this.#fd);
  }

  #read(buffer: Buffer): number {
    try {
      return readSync(this.#fd, buffer, 0, Math.min(buffer.length, this.#left), this.#position);
    } catch (error) {
      throw fromSystemError(error, this.#subject);
    }
  }
}

function openBlob(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw fromSystemError(error, path);
  }
}

/** Reads to the end, for the sake of digest and size. */
export function drain(source: ByteSource): void {
  const iterator = source[Symbol.iterator]();
  while (iterator.next().done !== true);
}
