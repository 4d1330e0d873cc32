import { renameSync } from 'node:fs';
import { digestHex, hasCode, StoreError, type Digest, type OperationOptions } from '@layerstore/core';
import type { ApplyLimits } from '@layerstore/archive';
import {
  canonicalName,
  familiarName,
  loadRegistry,
  parsePlatform,
  type Descriptor,
  type Reference,
  type RegistryOptions,
  type RemoteImage,
  type Repository,
} from '@layerstore/oci';
import { blobPath, readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { Downloads } from '../downloads/downloads.js';
import { pauseText } from '../downloads/download.js';
import { fileContent } from '../layers/layer-content.js';
import { unpackStack, type LayerInput } from '../layers/unpack-stack.js';
import type { PulledImage } from '../model.js';
import { Staging } from '../staging.js';
import { together } from '../together.js';
import { findImage } from './image-records.js';
import { pendingOnExit } from './load.js';
import { firstCandidate } from './first-candidate.js';
import { familiar } from './names.js';
import { findKeptBlob, storeImage, type KeptBlob } from './store-image.js';

export interface PullOptions extends OperationOptions {
  /** Which image of an index to take, for example `linux/arm64`; default: what this machine runs. */
  readonly platform?: string;
  /** Keeps compressed layers as they came, so that the image can be saved and pushed as it was. Costs their size. */
  readonly keepBlobs?: boolean;
  /** Bounds on what a layer may unpack to. */
  readonly limits?: Partial<ApplyLimits>;
  /** How registries are reached; default: anonymously. */
  readonly registry?: RegistryOptions;
}

/**
 * Pulls an image: of a short name the first that can be had.
 * @throws StoreError see `Images.pull`
 */
export async function pullImage(context: StoreContext, text: string, options: PullOptions): Promise<PulledImage> {
  return await firstCandidate(text, options.registry ?? {}, (repository, reference) =>
    pullReference(context, repository, reference, options),
  );
}

/** Failures after which the same pull may succeed later, and be glad of what has come already. */
const mayPass = ['ERR_REGISTRY_UNREACHABLE', 'ERR_REGISTRY_FAILED', 'ERR_REGISTRY_DENIED', 'ERR_BUSY'] as const;

/** Attempts at an image whose layers others remove meanwhile, or of which an earlier pull has left damaged bytes. */
const ATTEMPTS = 3;

async function pullReference(
  context: StoreContext,
  repository: Repository,
  reference: Reference,
  options: PullOptions,
): Promise<PulledImage> {
  const image = await resolve(context, repository, reference, options);
  for (let attempt = 1; ; attempt += 1) {
    await using downloads = await downloadsOf(context, repository, image, options);
    try {
      return await pullOnce(context, image, downloads, options);
    } catch (error) {
      const isOver = attempt === ATTEMPTS || !(hasCode(error, 'ERR_BUSY') || downloads.shouldStartOver);
      const isWorthKeeping = options.signal?.aborted !== true && hasCode(error, ...mayPass);
      if (isOver && !isWorthKeeping) downloads.discard();
      if (isOver) throw error;
      context.logger.warn({ error, attempt }, 'the pull starts again');
    }
  }
}

async function resolve(
  context: StoreContext,
  repository: Repository,
  reference: Reference,
  options: PullOptions,
): Promise<RemoteImage> {
  const { resolveImage } = await loadRegistry();
  const { onProgress, signal } = options;
  const task = `manifest:${canonicalName(reference)}`;
  const label = familiarName(reference);
  onProgress?.({ kind: 'start', task, label });
  try {
    const image = await resolveImage(repository, reference, {
      signal,
      platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
      knownConfig: (digest) => storedConfig(context, digest),
      onPause: (milliseconds, reason) =>
        onProgress?.({ kind: 'wait', task, label, reason: pauseText(milliseconds, reason) }),
    });
    onProgress?.({ kind: 'end', task, label, outcome: 'done' });
    return image;
  } catch (error) {
    onProgress?.({ kind: 'end', task, label, outcome: 'failed' });
    throw error;
  }
}

/** Of an image that the store has; a damaged one is fetched again. */
function storedConfig({ database, paths }: StoreContext, digest: Digest): Buffer | undefined {
  if (findImage(database, digest) === undefined) return undefined;
  try {
    return readDocument(paths, digest);
  } catch (error) {
    if (hasCode(error, 'ERR_STORE_DAMAGED')) return undefined;
    throw error;
  }
}

async function downloadsOf(
  context: StoreContext,
  repository: Repository,
  image: RemoteImage,
  options: PullOptions,
): Promise<Downloads> {
  const { downloadBlob } = await loadRegistry();
  return new Downloads(
    context.paths,
    (blob, sink, how) => downloadBlob(repository, blob, sink, `${image.reference}: ${blob.digest}`, how),
    options.onProgress,
  );
}

async function pullOnce(
  context: StoreContext,
  image: RemoteImage,
  downloads: Downloads,
  options: PullOptions,
): Promise<PulledImage> {
  await using staging = await Staging.create(context.paths);
  await using _leftovers = pendingOnExit(context, staging);
  const inputs = image.layers.map((blob, at) => layerInput(context, image, blob, at, downloads));
  await using stack = await unpackStack(context, staging, inputs, options);
  const layerBlobs = options.keepBlobs === true ? await keepDownloads(context, staging, image, downloads, options) : [];
  // Before the content is synced: the kernel need not write what is thrown away.
  downloads.discard();
  await downloads[Symbol.asyncDispose]();
  const id = await storeImage(
    context,
    staging,
    {
      config: image.config.bytes,
      manifest: image.manifest,
      references: [image.reference],
      chainId: stack.chainId,
      fresh: stack.fresh,
      layerBlobs,
    },
    options.signal,
  );
  return { id, references: [familiar(image.reference)], layers: stack.layers, digest: image.digest };
}

function layerInput(
  context: StoreContext,
  image: RemoteImage,
  blob: Descriptor,
  at: number,
  downloads: Downloads,
): LayerInput {
  const diffId = image.diffIds[at];
  if (diffId === undefined)
    throw new StoreError('ERR_INTERNAL', 'a layer has no diff ID', { subject: image.reference });
  const kept = findKeptBlob(context.database, blob.digest);
  const content =
    kept === undefined
      ? downloads.of(blob)
      : fileContent({ path: blobPath(context.paths, blob.digest), offset: 0, length: kept.size });
  return { diffId, digest: blob.digest, size: blob.size, content };
}

/**
 * Takes the files of the downloads over into the staging of the image, synced. What was not needed for unpacking, because the layer is there,
 * is fetched for this.
 */
async function keepDownloads(
  context: StoreContext,
  staging: Staging,
  image: RemoteImage,
  downloads: Downloads,
  options: PullOptions,
): Promise<KeptBlob[]> {
  const workers = await context.workers();
  const wanted = new Map<Digest, KeptBlob>();
  for (const [at, blob] of image.layers.entries()) {
    const { digest, size, mediaType } = blob;
    const diffId = image.diffIds[at];
    if (diffId === undefined || digest === diffId || findKeptBlob(context.database, digest) !== undefined) continue;
    const from = staging.file(`blob-${digestHex(digest)}`);
    wanted.set(digest, { from, to: blobPath(context.paths, digest), digest, size, diffId, mediaType });
  }
  await together(
    [...wanted.values()],
    async ({ digest, from }, signal) => {
      const download = downloads.known(digest);
      await download?.verify((source) => workers.run({ kind: 'hash', source }, { signal }), signal);
      if (download?.path !== undefined) renameSync(download.path, from);
    },
    options.signal,
  );
  if (wanted.size > 0) await workers.run({ kind: 'sync', path: staging.path });
  return [...wanted.values()];
}
