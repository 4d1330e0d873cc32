import { createReadStream } from 'node:fs';
import { shortId, type Digest, type DiffId, type OperationOptions } from '@layerstore/core';
import {
  isForeignLayerType,
  layerType,
  loadRegistry,
  namedCompression,
  type Descriptor,
  type Repository,
  type UploadSession,
} from '@layerstore/oci';
import { blobPath } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { pauseText } from '../downloads/download.js';
import { compressLayer } from '../layers/compress-layer.js';
import type { LayerRecord } from '../layers/layer-records.js';
import type { PushedLayer } from '../model.js';
import type { Staging } from '../staging.js';
import type { KnownForm } from './layer-descriptors.js';
import { keptBlobs } from './store-image.js';

export interface Pushing {
  readonly context: StoreContext;
  readonly staging: Staging;
  readonly repository: Repository;
  /** The destination; leads errors. */
  readonly subject: string;
  readonly options: OperationOptions & { readonly compression?: 'gzip' | 'zstd' };
}

export interface PushedBlob {
  readonly descriptor: Descriptor;
  readonly pushed: PushedLayer;
}

/** Makes sure that the registry has a layer, with as little work as possible. */
export async function pushLayer(
  pushing: Pushing,
  layer: LayerRecord,
  known: readonly KnownForm[],
): Promise<PushedBlob> {
  const task = `push:${layer.diffId}`;
  const label = `${shortId(layer.diffId)} push`;
  const { onProgress } = pushing.options;
  onProgress?.({ kind: 'start', task, label });
  try {
    const found = await findForm(pushing, layer, known);
    const done = found !== undefined && 'pushed' in found ? found : await sendLayer(pushing, layer, found);
    const outcome = done.pushed.outcome === 'uploaded' ? 'done' : 'present';
    onProgress?.({ kind: 'end', task, label, outcome });
    return done;
  } catch (error) {
    onProgress?.({ kind: 'end', task, label, outcome: 'failed' });
    throw error;
  }
}

/**
 * A known form that the repository has already, or can take from another one. A registry that does not take it opens an upload
 * instead, which is then used.
 */
async function findForm(
  pushing: Pushing,
  layer: LayerRecord,
  known: readonly KnownForm[],
): Promise<PushedBlob | UploadSession | undefined> {
  const { hasBlob, mountBlob } = await loadRegistry();
  const { repository, subject, context } = pushing;
  const how = requestOptions(pushing, layer.diffId);
  const forms = [...known, ...keptForms(context, layer)].filter(({ descriptor }) =>
    isWanted(pushing, layer, descriptor),
  );
  const foreign = forms.find(({ descriptor }) => isForeign(descriptor));
  if (foreign !== undefined) return outcomeOf(layer, foreign.descriptor, 'foreign');
  const seen = new Set<Digest>();
  for (const { descriptor } of forms) {
    if (seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    if (await hasBlob(repository, descriptor.digest, subject, how)) return outcomeOf(layer, descriptor, 'present');
  }
  for (const { descriptor, repositories } of forms) {
    const from = repositories.find((path) => path !== repository.path);
    if (from === undefined) continue;
    const mounted = await mountBlob(repository, descriptor.digest, from, subject, how);
    return mounted === 'mounted' ? outcomeOf(layer, descriptor, 'mounted') : mounted;
  }
  return undefined;
}

function keptForms(context: StoreContext, layer: LayerRecord): KnownForm[] {
  return keptBlobs(context.database, layer.diffId).map(({ digest, mediaType, size }) => ({
    descriptor: { digest, mediaType, size, annotations: {} },
    repositories: [],
  }));
}

function isWanted({ options }: Pushing, layer: LayerRecord, descriptor: Descriptor): boolean {
  if (options.compression === undefined || isForeign(descriptor)) return true;
  return descriptor.digest !== layer.diffId && namedCompression(descriptor.mediaType) === options.compression;
}

const isForeign = ({ mediaType, urls = [] }: Descriptor): boolean => isForeignLayerType(mediaType) && urls.length > 0;

async function sendLayer(
  pushing: Pushing,
  layer: LayerRecord,
  session: UploadSession | undefined,
): Promise<PushedBlob> {
  const { hasBlob } = await loadRegistry();
  const { context, staging, options, repository, subject } = pushing;
  const kept = keptForms(context, layer).find(({ descriptor }) => isWanted(pushing, layer, descriptor));
  if (kept !== undefined) {
    return await sendFile(pushing, layer, kept.descriptor, blobPath(context.paths, kept.descriptor.digest), session);
  }
  const compression = options.compression ?? 'gzip';
  const { digest, size, path } = await compressLayer(context, staging, layer, compression, options);
  const descriptor = { mediaType: layerType(compression), digest, size, annotations: {} };
  if (await hasBlob(repository, digest, subject, requestOptions(pushing, layer.diffId))) {
    return outcomeOf(layer, descriptor, 'present');
  }
  return await sendFile(pushing, layer, descriptor, path, session);
}

async function sendFile(
  pushing: Pushing,
  layer: LayerRecord,
  descriptor: Descriptor,
  path: string,
  session: UploadSession | undefined,
): Promise<PushedBlob> {
  const { uploadBlob } = await loadRegistry();
  const { repository, subject, options } = pushing;
  const { digest, size } = descriptor;
  const task = `push:${layer.diffId}`;
  options.onProgress?.({ kind: 'start', task, label: `${shortId(layer.diffId)} push`, total: size });
  const open = (start: number) => {
    let done = start;
    const stream = createReadStream(path, { start, highWaterMark: 256 * 1024 });
    stream.on('data', (chunk) => {
      done += chunk.length;
      options.onProgress?.({ kind: 'advance', task, done, total: size });
    });
    return stream.pause();
  };
  await uploadBlob(repository, { digest, size, open }, subject, requestOptions(pushing, layer.diffId), session);
  return outcomeOf(layer, descriptor, 'uploaded');
}

/** In a new manifest a layer is listed under OCI's type of its compression. */
function outcomeOf(layer: LayerRecord, descriptor: Descriptor, outcome: PushedLayer['outcome']): PushedBlob {
  const { digest, size } = descriptor;
  const compression = digest === layer.diffId ? 'none' : (namedCompression(descriptor.mediaType) ?? 'gzip');
  return {
    descriptor: isForeign(descriptor)
      ? descriptor
      : { mediaType: layerType(compression), digest, size, annotations: {} },
    pushed: { diffId: layer.diffId, digest, size, outcome },
  };
}

function requestOptions({ options }: Pushing, diffId: DiffId) {
  return {
    signal: options.signal,
    onPause: (milliseconds: number, reason: string): void =>
      options.onProgress?.({
        kind: 'wait',
        task: `push:${diffId}`,
        label: `${shortId(diffId)} push`,
        reason: pauseText(milliseconds, reason),
      }),
  };
}
