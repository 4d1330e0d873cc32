import { reachedStep } from '@layerstore/core';
import { normaliseReference } from '@layerstore/oci';
import type { StoreContext } from '../context.js';
import { putName } from './image-records.js';
import { resolveImage } from './resolve.js';

/** Gives an image a further name, taking it from another image if need be. Durable on return. */
export async function tagImage(
  context: StoreContext,
  nameOrId: string,
  reference: string,
  signal?: AbortSignal,
): Promise<void> {
  const canonical = normaliseReference(reference);
  await context.database.write(() => {
    const { image } = resolveImage(context.database, nameOrId);
    putName(context.database, canonical, image.id);
    reachedStep('tag.written', canonical);
  }, signal);
  reachedStep('tag.committed', canonical);
}
