import { createReadStream } from 'node:fs';
import { fromSystemError, StoreError, type OperationOptions } from '@layerstore/core';
import { formatHash } from '../format/content-hash.js';
import type { ObjectReference } from '../format/object-reference.js';
import type { ObjectSource, OpenedObject } from '../objects/object-source.js';
import { answered } from './answered.js';
import { objectsOf, type Entry } from './entry.js';
import type { RevisionReader } from './revision-reader.js';

const PIECE = 1024 * 1024;
/** Objects that are fetched while one is read. */
const AHEAD = 8;
const TRIES = 3;

/**
 * The bytes of a file, in order, in pieces of at most 1 MiB; the chunks that come next are fetched meanwhile.
 * @throws StoreError ERR_INVALID_ARGUMENT for what is no file; as `RevisionReader.content` and `ObjectSource.fetch`
 */
export async function* readContent(
  revision: RevisionReader,
  objects: ObjectSource,
  file: Entry,
  call: Pick<OperationOptions, 'signal'> = {},
): AsyncGenerator<Buffer, void> {
  const content = await answered(revision, () => revision.content(file), call);
  if (content === undefined) return;
  const all = objectsOf(content);
  let ahead = 1;
  for (const [index, object] of all.entries()) {
    for (; ahead < all.length && ahead <= index + AHEAD; ahead += 1) {
      const next = all[ahead];
      // Its turn comes, and then whatever is wrong with it is told.
      if (next !== undefined) objects.fetch(next, { ...call, urgency: 'prefetch' }).catch(() => undefined);
    }
    yield* piecesOf(await opened(objects, object, call));
  }
}

/** A clean-up may come between fetching and opening. */
async function opened(
  objects: ObjectSource,
  object: ObjectReference,
  call: Pick<OperationOptions, 'signal'>,
): Promise<OpenedObject> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    await objects.fetch(object, call);
    const file = objects.local.open(object);
    if (file !== undefined) return file;
  }
  throw new StoreError('ERR_OBJECT_UNAVAILABLE', 'it leaves the cache as fast as it comes', {
    subject: `${object.kind} ${formatHash(object.hash)}`,
    hint: 'give the object cache a higher limit',
  });
}

async function* piecesOf({ fd, path }: OpenedObject): AsyncGenerator<Buffer, void> {
  try {
    // The stream owns the descriptor from here on.
    for await (const piece of createReadStream(path, { fd, start: 0, highWaterMark: PIECE })) yield piece as Buffer;
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
