import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ArchiveWorkers, WritePart } from '@layerstore/archive';
import { StoreError, type OperationOptions } from '@layerstore/core';
import {
  layerType,
  planDockerArchive,
  planOciArchive,
  planOciLayout,
  type ExportImage,
  type ExportLayer,
} from '@layerstore/oci';
import { syncFile } from '@layerstore/linux';
import { blobPath, readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { compressLayer, storedLayer } from '../layers/compress-layer.js';
import { layerStack, type LayerRecord } from '../layers/layer-records.js';
import { Staging } from '../staging.js';
import { together } from '../together.js';
import { writeTarget, writeTargetDirectory, type Target } from '../target.js';
import { namesOf, type ImageRecord } from './image-records.js';
import { resolveImage } from './resolve.js';
import { keptBlobs } from './store-image.js';

export type SaveFormat = 'docker-archive' | 'oci-archive' | 'oci-dir';

export interface SaveOptions extends OperationOptions {
  readonly format: SaveFormat;
  /**
   * Form of the layers in an OCI archive or directory; default `none`. docker-archives hold plain layers.
   * A compressed form that was kept at load is used as it came.
   */
  readonly compression?: 'none' | 'gzip' | 'zstd';
}

type Content = Exclude<WritePart, { kind: 'bytes' }>;

/**
 * Writes images, every layer bit for bit as it was loaded and checked against its diff ID on the way. A file or directory appears complete or
 * not at all.
 * Cost: one read of every layer's content; compression in worker threads, layers in parallel.
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_STORE_DAMAGED when a layer was altered, ERR_EXISTS for a taken directory, ERR_NO_SPACE
 */
export async function saveImages(
  context: StoreContext,
  names: readonly string[],
  target: Target,
  options: SaveOptions,
): Promise<{ size: number }> {
  const compression = options.compression ?? 'none';
  if (options.format === 'docker-archive' && compression !== 'none') {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'a docker-archive holds plain layers', {
      subject: compression,
      hint: 'use --format oci-archive, or compress the whole file',
    });
  }
  await using staging = await Staging.create(context.paths);
  const saving: Saving = { context, staging, workers: await context.workers(), compression, options };
  const images: ExportImage<Content>[] = [];
  for (const { image, references } of selectImages(context, names)) {
    images.push(await exportImage(saving, image, references));
  }
  if (options.format !== 'oci-dir') {
    const parts = options.format === 'docker-archive' ? planDockerArchive(images) : planOciArchive(images);
    return await writeTarget(target, (to) => write(saving, to, parts));
  }
  if (!('path' in target)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'a directory cannot be written to a stream', {
      hint: 'name a directory',
    });
  }
  return await writeTargetDirectory(target.path, (directory) => writeLayout(saving, directory, images));
}

interface Saving {
  readonly context: StoreContext;
  readonly staging: Staging;
  readonly workers: ArchiveWorkers;
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly options: SaveOptions;
}

/** An image named by reference is saved under the names given; one named by id without a name. */
function selectImages(context: StoreContext, names: readonly string[]): { image: ImageRecord; references: string[] }[] {
  if (names.length === 0) throw new StoreError('ERR_INVALID_ARGUMENT', 'no image was named');
  const selected = new Map<string, { image: ImageRecord; references: string[] }>();
  for (const name of names) {
    const { image, reference } = resolveImage(context.database, name);
    const entry = selected.get(image.id) ?? { image, references: [] };
    if (reference !== undefined && namesOf(context.database, image.id).includes(reference))
      entry.references.push(reference);
    selected.set(image.id, entry);
  }
  return [...selected.values()];
}

async function exportImage(
  saving: Saving,
  image: ImageRecord,
  references: readonly string[],
): Promise<ExportImage<Content>> {
  const { context } = saving;
  const stack = layerStack(context.database, image.chainId);
  const manifest =
    image.manifest === undefined || image.manifestType === undefined
      ? undefined
      : { bytes: readDocument(context.paths, image.manifest), mediaType: image.manifestType };
  return {
    config: readDocument(context.paths, image.id),
    references,
    ...(manifest === undefined ? {} : { manifest }),
    layers: await together(stack, (layer, signal) => exportLayer(saving, layer, signal), saving.options.signal),
  };
}

async function exportLayer(saving: Saving, layer: LayerRecord, signal: AbortSignal): Promise<ExportLayer<Content>> {
  const { context, compression } = saving;
  if (compression === 'none') {
    const content = { kind: 'layer' as const, ...(await storedLayer(context, layer)) };
    return {
      diffId: layer.diffId,
      digest: layer.diffId,
      size: layer.tarSize,
      mediaType: layerType('none'),
      content,
    };
  }
  const mediaType = layerType(compression);
  const kept = keptBlobs(context.database, layer.diffId).find((blob) => blob.mediaType.endsWith(compression));
  if (kept !== undefined) {
    const content = { kind: 'file' as const, path: blobPath(context.paths, kept.digest) };
    return { diffId: layer.diffId, digest: kept.digest, size: kept.size, mediaType, content };
  }
  const { path, digest, size } = await compressLayer(context, saving.staging, layer, compression, {
    ...saving.options,
    signal,
  });
  return { diffId: layer.diffId, digest, size, mediaType, content: { kind: 'file', path } };
}

async function write(saving: Saving, to: Target, parts: WritePart[]): Promise<{ size: number }> {
  const { workers, options } = saving;
  const total = parts.reduce(
    (sum, part) => sum + ('size' in part ? part.size : 'data' in part ? part.data.length : 0),
    0,
  );
  const task = 'write';
  const label = 'writing';
  options.onProgress?.({ kind: 'start', task, label, total });
  const result = await workers.run(
    { kind: 'write', to, parts },
    {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (done) => options.onProgress?.({ kind: 'advance', task, done, total }),
    },
  );
  options.onProgress?.({ kind: 'end', task, label, outcome: 'done' });
  return { size: result.size };
}

async function writeLayout(
  saving: Saving,
  directory: string,
  images: readonly ExportImage<Content>[],
): Promise<{ size: number }> {
  let size = 0;
  for (const file of planOciLayout(images)) {
    const path = join(directory, file.path);
    mkdirSync(dirname(path), { recursive: true });
    await write(saving, { path }, [file.part]);
    syncFile(path);
    size += file.size;
  }
  return { size };
}
