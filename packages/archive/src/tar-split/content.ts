import { closeSync, openSync, readSync } from 'node:fs';
import { fromSystemError, StoreError } from '@layerstore/core';
import { Crc64 } from './crc64.js';
import type { TarSplitFile } from './record.js';

const CHUNK_BYTES = 1024 * 1024;

/** The bytes of a file as chunks of up to 1 MiB, in one buffer. @throws StoreError ERR_IO and the like */
export function* readFileBytes(path: string): Generator<Buffer, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  const fd = attempt(path, () => openSync(path, 'r'));
  try {
    for (;;) {
      const count = attempt(path, () => readSync(fd, buffer, 0, buffer.length, null));
      if (count === 0) return;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeSync(fd);
  }
}

/** The content that a record stands for, from where it was saved. @throws StoreError ERR_STORE_DAMAGED, ERR_IO */
export function* readSavedContent(path: string, record: TarSplitFile): Generator<Buffer, void, undefined> {
  const check = new ContentCheck(record);
  for (const chunk of readFileBytes(path)) {
    check.update(chunk);
    yield chunk;
  }
  check.finish();
}

/** Compares content with what its record says of it. */
export class ContentCheck {
  readonly #record: TarSplitFile;
  readonly #sum = new Crc64();
  #rest: number;

  constructor(record: TarSplitFile) {
    this.#record = record;
    this.#rest = record.size;
  }

  /** Bytes that are still to come. */
  get rest(): number {
    return this.#rest;
  }

  /** @throws StoreError ERR_STORE_DAMAGED when there is more than was recorded */
  update(bytes: Buffer): void {
    if (bytes.length > this.#rest) throw damaged(this.#record, 'the file is longer than when it was unpacked');
    this.#sum.update(bytes);
    this.#rest -= bytes.length;
  }

  /** @throws StoreError ERR_STORE_DAMAGED when there was less, or other content */
  finish(): void {
    if (this.#rest > 0) throw damaged(this.#record, 'the file is shorter than when it was unpacked');
    if (this.#record.size > 0 && !this.#sum.digest().equals(this.#record.checksum)) {
      throw damaged(this.#record, 'the content of the file is not what was unpacked');
    }
  }
}

function damaged(record: TarSplitFile, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: record.name.toString(),
    hint: 'remove the image and load it again',
  });
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
