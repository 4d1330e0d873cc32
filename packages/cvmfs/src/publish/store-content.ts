import { fstatSync, readSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import type { ObjectStage, StoredObject } from './object-stage.js';

/** Where the bytes of a file are: one object, or several with their offsets. */
export type StoredContent =
  | { readonly kind: 'object'; readonly object: StoredObject }
  | { readonly kind: 'chunks'; readonly chunks: readonly (StoredObject & { readonly offset: number })[] };

const MIB = 1024 * 1024;
/** Files up to this size are one object. */
const CHUNKED_ABOVE = 8 * MIB;
const CHUNK = 8 * MIB;
/** A rest smaller than this is part of the chunk before it. */
const SMALLEST_CHUNK = 4 * MIB;
const AT_ONCE = 4;

/** Sizes of the chunks of a file, in its order. Readers take any division; publishers of the standard tools use 4 to 16 MiB. */
export function chunkSizes(size: number): readonly number[] {
  if (size <= CHUNKED_ABOVE) return [size];
  const whole = Math.floor(size / CHUNK);
  const rest = size - whole * CHUNK;
  const sizes = Array.from({ length: whole }, () => CHUNK);
  if (rest >= SMALLEST_CHUNK) return [...sizes, rest];
  return [...sizes.slice(1), CHUNK + rest];
}

/**
 * Stores the content of an open file.
 * @param subject names the file in errors
 * @throws StoreError ERR_IO when the file became shorter meanwhile; ERR_NO_SPACE
 */
export async function storeContent(stage: ObjectStage, fd: number, subject: string): Promise<StoredContent> {
  const { size } = fstatSync(fd);
  const sizes = chunkSizes(size);
  if (sizes.length === 1) {
    return { kind: 'object', object: await stage.add('file', readPiece(fd, 0, size, subject)) };
  }
  const offsets: number[] = [];
  for (let offset = 0; offset < size; offset += sizes[offsets.length - 1] ?? size) offsets.push(offset);
  const chunks: (StoredObject & { readonly offset: number })[] = [];
  for (let first = 0; first < sizes.length; first += AT_ONCE) {
    const batch = offsets.slice(first, first + AT_ONCE).map(async (offset, index) => {
      const piece = readPiece(fd, offset, sizes[first + index] ?? 0, subject);
      return { ...(await stage.add('chunk', piece)), offset };
    });
    chunks.push(...(await Promise.all(batch)));
  }
  return { kind: 'chunks', chunks };
}

function readPiece(fd: number, offset: number, size: number, subject: string): Buffer {
  const piece = Buffer.allocUnsafe(size);
  for (let done = 0; done < size;) {
    const count = readSync(fd, piece, done, size - done, offset + done);
    if (count === 0) {
      throw new StoreError('ERR_IO', 'the file became shorter while it was read', {
        subject,
        hint: 'stop or pause whatever writes there, and try again',
      });
    }
    done += count;
  }
  return piece;
}
