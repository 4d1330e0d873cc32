import { isDigest, reachedStep, StoreError, type Digest } from '@layerstore/core';
import { removeBlob } from '../blobs.js';
import type { StoreContext } from '../context.js';
import type { MetaDatabase } from '../database/meta-database.js';
import { releaseStack } from '../layers/release.js';
import type { RemovedImage } from '../model.js';
import { Staging } from '../staging.js';
import { deleteImage, deleteName, namesOf, type ImageRecord } from './image-records.js';
import { familiar } from './names.js';
import { resolveImage } from './resolve.js';

/**
 * Removes a name; with the last name goes the image, and with it the layers that nothing else needs. An id removes an image
 * that has one name or none; `force` removes all its names.
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_BUSY while containers use it
 */
export async function removeImage(
  context: StoreContext,
  nameOrId: string,
  options: { force?: boolean } = {},
): Promise<RemovedImage> {
  const { database, paths } = context;
  const { image, reference } = resolveImage(database, nameOrId);
  const names = namesOf(database, image.id);
  const untag = reference === undefined ? names : options.force === true ? names : [reference];
  if (reference === undefined && names.length > 1 && options.force !== true) {
    throw new StoreError('ERR_BUSY', `the image has ${names.length} names`, {
      subject: nameOrId,
      hint: 'remove it name by name, or use --force to remove all',
    });
  }
  if (untag.length < names.length) {
    await database.write(() => {
      for (const name of untag) deleteName(database, name);
    });
    reachedStep('remove.untagged', image.id);
    return { untagged: untag.map(familiar), deleted: [] };
  }
  return dropImage(context, await Staging.create(paths), image, untag);
}

/** Removes an image with the given names. Also what `prune` uses; disposes of the staging. */
export async function dropImage(
  context: StoreContext,
  ownStaging: Staging,
  image: ImageRecord,
  expectedNames: readonly string[],
): Promise<RemovedImage> {
  const { database } = context;
  await using staging = ownStaging;
  let untagged: string[] = [];
  let blobs: Digest[] = [];
  const layers = await releaseStack(context, staging, image.chainId, () => {
    refuseUse(database, image);
    untagged = namesOf(database, image.id);
    if (untagged.some((name) => !expectedNames.includes(name))) {
      throw new StoreError('ERR_BUSY', 'the image was given another name meanwhile', {
        subject: image.id,
        hint: 'try again',
      });
    }
    for (const name of untagged) deleteName(database, name);
    deleteImage(database, image.id);
    blobs = dropUnusedBlobs(database, image);
  });
  await removeUnreferencedBlobs(context, blobs);
  reachedStep('remove.finished', image.id);
  return { untagged: untagged.map(familiar), deleted: [image.id, ...layers] };
}

function refuseUse(database: MetaDatabase, image: ImageRecord): void {
  const user = database.prepare('SELECT name, kind FROM containers WHERE image = ? LIMIT 1').get(image.id);
  if (user === undefined) return;
  throw new StoreError('ERR_BUSY', `the ${String(user['kind'])} ${String(user['name'])} uses the image`, {
    subject: image.id,
    hint: `remove it first: layerstore rm ${String(user['name'])}`,
  });
}

/** Deletes the records of documents and kept layer blobs that no image refers to any more. */
function dropUnusedBlobs(database: MetaDatabase, image: ImageRecord): Digest[] {
  const candidates = [image.id, ...(image.manifest === undefined ? [] : [image.manifest])];
  const gone: Digest[] = [];
  for (const digest of candidates) {
    const used = database.prepare('SELECT 1 FROM images WHERE id = ?1 OR manifest = ?1').get(digest);
    if (used === undefined && database.prepare('DELETE FROM blobs WHERE digest = ?').run(digest) > 0) gone.push(digest);
  }
  const orphans = database
    .prepare('SELECT digest FROM layer_blobs WHERE diff_id NOT IN (SELECT diff_id FROM layers)')
    .all();
  for (const { digest } of orphans) {
    if (!isDigest(digest)) continue;
    database.prepare('DELETE FROM layer_blobs WHERE digest = ?').run(digest);
    if (database.prepare('DELETE FROM blobs WHERE digest = ?').run(digest) > 0) gone.push(digest);
  }
  return gone;
}

/**
 * Deletes blob files without a record. Inside a write transaction, because another process may be storing the same blob again.
 */
export async function removeUnreferencedBlobs(context: StoreContext, digests: readonly Digest[]): Promise<void> {
  if (digests.length === 0) return;
  const { database, paths } = context;
  await database.write(() => {
    for (const digest of digests) {
      const used = database.prepare('SELECT 1 FROM blobs WHERE digest = ?').get(digest);
      if (used === undefined) removeBlob(paths, digest);
    }
  });
}
