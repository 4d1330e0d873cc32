import { isDigest, type ChainId, type Digest } from '@layerstore/core';
import { normaliseReference, parseImageConfig } from '@layerstore/oci';
import { stageDocument, type StagedFile } from '../blobs.js';
import type { StoreContext } from '../context.js';
import type { MetaDatabase } from '../database/meta-database.js';
import { publish, type UnpublishedLayer } from '../layers/publish.js';
import { findLayer, layerStack } from '../layers/layer-records.js';
import type { Staging } from '../staging.js';
import { putImage, putName, type ImageRecord } from './image-records.js';

export interface NewImage {
  /** Kept byte for byte: their digests name the image. */
  readonly config: Buffer;
  readonly manifest?: { readonly bytes: Buffer; readonly mediaType: string };
  /** As written by the user or the archive. */
  readonly references: readonly string[];
  readonly chainId: ChainId | undefined;
  /** Layers of the stack that are not published yet, base first. */
  readonly fresh: readonly UnpublishedLayer[];
  /** Compressed layers to keep, synced, in staging. */
  readonly layerBlobs?: readonly KeptBlob[];
}

export interface KeptBlob extends StagedFile {
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
}

/** Publishes an image with its fresh layers and its names in one step. @returns the image id */
export async function storeImage(
  context: StoreContext,
  staging: Staging,
  image: NewImage,
  signal?: AbortSignal,
): Promise<Digest> {
  const { database, paths } = context;
  const config = stageDocument(paths, staging, image.config);
  const manifest = image.manifest === undefined ? undefined : stageDocument(paths, staging, image.manifest.bytes);
  const references = image.references.map((reference) => normaliseReference(reference));
  const record = describe(image, config.digest, manifest?.digest);
  await publish(context, {
    layers: image.fresh,
    files: [config, ...(manifest === undefined ? [] : [manifest]), ...(image.layerBlobs ?? [])],
    signal,
    also: () => {
      putBlob(database, config);
      if (manifest !== undefined) putBlob(database, manifest);
      for (const blob of image.layerBlobs ?? []) putLayerBlob(database, blob);
      const stack = layerStack(database, image.chainId);
      putImage(database, { ...record, size: stack.reduce((sum, layer) => sum + layer.size, 0), layers: stack.length });
      for (const reference of references) putName(database, reference, config.digest);
    },
  });
  return config.digest;
}

function describe(image: NewImage, id: Digest, manifest: Digest | undefined): ImageRecord {
  const config = parseImageConfig(image.config);
  const created = config.created === undefined ? Number.NaN : Date.parse(config.created);
  return {
    id,
    chainId: image.chainId,
    manifest,
    manifestType: image.manifest?.mediaType,
    size: 0,
    layers: 0,
    os: config.os ?? 'linux',
    architecture: config.architecture ?? 'unknown',
    variant: config.variant,
    created: Number.isNaN(created) ? 0 : created,
    stored: Date.now(),
  };
}

export function putBlob(database: MetaDatabase, blob: { digest: Digest; size: number }): void {
  database.prepare('INSERT OR IGNORE INTO blobs VALUES (?, ?)').run(blob.digest, blob.size);
}

function putLayerBlob(database: MetaDatabase, blob: KeptBlob): void {
  putBlob(database, blob);
  database.prepare('INSERT OR IGNORE INTO layer_blobs VALUES (?, ?, ?)').run(blob.diffId, blob.digest, blob.mediaType);
}

/** The kept compressed forms of a layer. */
export function keptBlobs(
  database: MetaDatabase,
  diffId: Digest,
): { digest: Digest; mediaType: string; size: number }[] {
  return database
    .prepare(
      'SELECT digest, media_type, size FROM layer_blobs JOIN blobs USING (digest) WHERE diff_id = ? ORDER BY digest',
    )
    .all(diffId)
    .flatMap(({ digest, media_type, size }) =>
      isDigest(digest) && typeof size === 'number' ? [{ digest, mediaType: String(media_type), size }] : [],
    );
}

/** A kept compressed layer by its own digest. */
export function findKeptBlob(database: MetaDatabase, digest: Digest): { size: number } | undefined {
  const row = database
    .prepare('SELECT size FROM blobs WHERE digest = ?1 AND EXISTS (SELECT 1 FROM layer_blobs WHERE digest = ?1)')
    .get(digest);
  return typeof row?.['size'] === 'number' ? { size: row['size'] } : undefined;
}

/** True when every layer of a stack is published. */
export function stackPresent(database: MetaDatabase, top: ChainId | undefined): boolean {
  return top === undefined || findLayer(database, top) !== undefined;
}
