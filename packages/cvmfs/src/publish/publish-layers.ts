import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveWorkers, BlobSource } from '@layerstore/archive';
import { digestHex, fromSystemError, StoreError, type Digest } from '@layerstore/core';
import { inPublishThread } from './publish-thread.js';
import type { LayerTreeToPublish, PublishedRevision } from './publish-revision.js';
import type { PublisherKeys } from './publisher-keys.js';
import { RepositoryDirectory } from './repository-directory.js';
import { checkTag, type NewTag } from './update-history.js';

/** Where the content of a layer comes from. */
export type LayerSource =
  /** A tar, plain or compressed by gzip or zstd. It must have the layer's digest, compressed or not. */
  | { readonly kind: 'tar'; readonly blob: BlobSource }
  /** Absolute path of a directory in overlay form: whiteouts are devices 0:0, opaque directories are marked. Nobody may change it meanwhile. */
  | { readonly kind: 'tree'; readonly path: string };

export interface LayerToPublish {
  /** What the layer is found by: it becomes part of its path. */
  readonly digest: Digest;
  readonly source: LayerSource;
}

export interface PublishLayersOptions {
  /** Root of the repository on disk, as `initRepository` made it. */
  readonly directory: string;
  readonly keys: PublisherKeys;
  /** In any order; those that the repository has are passed over. */
  readonly layers: readonly LayerToPublish[];
  readonly tag?: NewTag;
  readonly workers: ArchiveWorkers;
  /** Milliseconds since 1970; default: now. */
  readonly now?: number;
  readonly signal?: AbortSignal;
}

/**
 * Publishes layers under `/.layers/<xx>/<digest>/layerfs` as one revision: all of them or none. Needs root, for owners and devices of the
 * layers that are unpacked; costs their unpacking, and the compression of what the repository has not.
 *
 * The revision before stays in force until everything is on disk. A publication that was cancelled or killed leaves it so, and what it
 * prepared is removed by it or by the next one.
 * @throws StoreError ERR_BUSY while another publisher is at work
 * @throws StoreError ERR_DIGEST_MISMATCH for a tar that is not the layer named; what unpacking throws for a tar at fault
 * @throws StoreError ERR_NOT_FOUND, ERR_REPOSITORY_UNTRUSTED, ERR_EXISTS, ERR_LIMIT_EXCEEDED, ERR_NOT_SUPPORTED, ERR_UNSUPPORTED_FORMAT,
 *   ERR_INVALID_ARGUMENT as `publishRevision`; ERR_NO_SPACE, ERR_IO, ERR_NEEDS_ROOT, ERR_ABORTED
 */
export async function publishLayers(options: PublishLayersOptions): Promise<PublishedRevision> {
  const { keys, layers, tag, workers, now = Date.now(), signal } = options;
  if (tag !== undefined) checkTag(tag);
  const directory = new RepositoryDirectory(options.directory);
  directory.requireRepository();
  await using _lock = await directory.lock();
  directory.sweep();
  try {
    const target = { directory: directory.path, repository: keys.repository, keys: keys.directory, now };
    const digests = layers.map(({ digest }) => digest);
    const missing = await inPublishThread('missing', { ...target, digests }, signal);
    const trees = await unpack(missing, { directory, layers, workers, signal });
    return await inPublishThread('publish', { ...target, layers: trees, tag }, signal);
  } finally {
    await workers.run({ kind: 'remove-tree', path: join(directory.staging, 'layers') });
    directory.sweep();
  }
}

interface Unpacking extends Pick<PublishLayersOptions, 'layers' | 'workers'> {
  readonly directory: RepositoryDirectory;
  readonly signal: AbortSignal | undefined;
}

async function unpack(digests: readonly Digest[], unpacking: Unpacking): Promise<LayerTreeToPublish[]> {
  const { directory, layers } = unpacking;
  const folder = join(directory.staging, 'layers');
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    throw fromSystemError(error, folder);
  }
  const trees = digests.map(async (digest): Promise<LayerTreeToPublish> => {
    const source = layers.find((layer) => layer.digest === digest)?.source;
    if (source?.kind === 'tree') return { digest, tree: source.path };
    if (source === undefined) throw new StoreError('ERR_INTERNAL', 'a layer has no source', { subject: digest });
    const tree = join(folder, digestHex(digest));
    await unpackTar(digest, source.blob, tree, unpacking);
    return { digest, tree };
  });
  // All must have ended before what they wrote is removed.
  const settled = await Promise.allSettled(trees);
  return settled.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

async function unpackTar(
  digest: Digest,
  source: BlobSource,
  path: string,
  { workers, signal }: Unpacking,
): Promise<void> {
  mkdirSync(path, { mode: 0o755 });
  const { diffId, blobDigest } = await workers.run(
    { kind: 'apply', source, compression: 'auto', tree: { path, dialect: 'overlay' } },
    { paired: true, ...(signal === undefined ? {} : { signal }) },
  );
  if (digest === diffId || digest === blobDigest) return;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the tar has the digest ${blobDigest} and the diff ID ${diffId}`, {
    subject: digest,
    hint: 'fetch or copy the archive again',
  });
}
