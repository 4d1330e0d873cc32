import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { digestFromHex, fromSystemError, StoreError, type Digest } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from '../compression/buffer.js';
import { GrowthWatch } from './growing-file.js';
import type { JobControl } from './job-control.js';
import type { BlobSource } from './jobs.js';

/** How long to wait for the writer of a pipe, in milliseconds: at first, and after many waits in a row. */
const SHORTEST_WAIT = 0.2;
const LONGEST_WAIT = 10;

/** Reads a blob in one reused buffer, counting and hashing it. */
export class BlobReader implements Disposable {
  size = 0;
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #subject: string;
  readonly #hash: Hash = createHash('sha256');
  readonly #control: JobControl;
  readonly #expectedSize: number | undefined;
  readonly #growth: GrowthWatch | undefined;
  #hashing = true;
  #position: number | null = null;
  #left = Number.POSITIVE_INFINITY;

  /**
   * @param expectedSize known to be wrong before anything is read (files), or as soon as there is more (streams)
   * @throws StoreError ERR_IO; ERR_TRUNCATED when the file is shorter than the range; ERR_SIZE_MISMATCH
   */
  constructor(source: BlobSource, control: JobControl, expectedSize?: number) {
    this.#control = control;
    this.#expectedSize = expectedSize;
    this.#subject = 'path' in source ? source.path : `descriptor ${source.fd}`;
    this.#growth = 'growth' in source ? new GrowthWatch(source.growth, control) : undefined;
    const opened = this.#attempt(() => openSource(source));
    this.#fd = opened.fd;
    this.#owned = opened.owned;
    try {
      this.#attempt(() => this.#measure(source));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
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

  /** @throws StoreError ERR_SIZE_MISMATCH, once all has been read */
  checkSize(): void {
    if (this.#expectedSize !== undefined && this.#expectedSize !== this.size) throw this.#wrongSize(this.size);
  }

  /** Continues where the last iteration ended: a second one reads the rest. */
  *[Symbol.iterator](): Generator<Buffer, void, undefined> {
    const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
    for (let count = this.#read(buffer); count > 0; count = this.#read(buffer)) {
      this.size += count;
      this.#left -= count;
      if (this.#position !== null) this.#position += count;
      // A stream may have no end: what exceeds the size that was announced is not read.
      if (this.#expectedSize !== undefined && this.size > this.#expectedSize) throw this.#wrongSize('more');
      const chunk = buffer.subarray(0, count);
      if (this.#hashing) this.#hash.update(chunk);
      this.#control.advance(count);
      yield chunk;
    }
  }

  [Symbol.dispose](): void {
    if (this.#owned) closeSync(this.#fd);
  }

  #measure(source: BlobSource): void {
    if (!('path' in source) || 'growth' in source) return;
    const status = fstatSync(this.#fd);
    const { offset = 0, length } = source;
    if (length !== undefined && status.isFile() && status.size < offset + length) {
      throw new StoreError('ERR_TRUNCATED', 'the file ends before the layer does', { subject: this.#subject });
    }
    if (length !== undefined || offset > 0) this.#position = offset;
    if (length !== undefined) this.#left = length;
    const size = length ?? (status.isFile() ? status.size - offset : this.#expectedSize);
    if (size !== undefined && this.#expectedSize !== undefined && size !== this.#expectedSize) {
      throw this.#wrongSize(size);
    }
  }

  #read(buffer: Buffer): number {
    const there = this.#growth?.bytesBeyond(this.size) ?? this.#left;
    return there === 0 ? 0 : this.#readNow(buffer, there);
  }

  #readNow(buffer: Buffer, limit: number): number {
    for (let wait = SHORTEST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        return readSync(this.#fd, buffer, 0, Math.min(buffer.length, limit), this.#position);
      } catch (error) {
        if (!hasErrno(error, 'EAGAIN')) throw fromSystemError(error, this.#subject);
      }
      this.#control.pause(wait);
    }
  }

  #wrongSize(size: number | 'more'): StoreError {
    const expected = this.#expectedSize ?? 0;
    return new StoreError('ERR_SIZE_MISMATCH', `${expected} bytes were announced, there are ${size}`, {
      subject: this.#subject,
      hint: 'fetch or copy the archive again',
    });
  }

  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw fromSystemError(error, this.#subject);
    }
  }
}

function openSource(source: BlobSource): { fd: number; owned: boolean } {
  const owned = 'path' in source;
  const fd = owned ? openSync(source.path, constants.O_RDONLY) : source.fd;
  if (!fstatSync(fd).isFIFO()) return { fd, owned };
  // Nobody could interrupt a thread that waits for a writer in read(2), so a pipe is opened once more, without waiting.
  try {
    return { fd: openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK), owned: true };
  } finally {
    if (owned) closeSync(fd);
  }
}

/** Reads to the end, for the sake of digest and size. */
export function drain(source: ByteSource): void {
  const iterator = source[Symbol.iterator]();
  while (iterator.next().done !== true);
}
