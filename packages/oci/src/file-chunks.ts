import { closeSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '@layerstore/archive';
import { fromSystemError, StoreError } from '@layerstore/core';
import type { FileRange } from './image-source.js';

const CHUNK = 1024 * 1024;

/**
 * The bytes of a range as a synchronous source.
 * @throws StoreError ERR_TRUNCATED when the file ends before the range does
 */
export function* fileChunks(range: FileRange): ByteSource {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, range.length));
  const fd = openFile(range.path);
  try {
    for (let done = 0; done < range.length;) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, range.length - done), range.offset + done);
      if (count === 0) throw new StoreError('ERR_TRUNCATED', 'the file became shorter', { subject: range.path });
      done += count;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeSync(fd);
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
