import type { StoredLayer, WrittenBytes } from '@layerstore/archive';
import { shortId, type OperationOptions } from '@layerstore/core';
import { tarSplitPath } from '../blobs.js';
import type { StoreContext } from '../context.js';
import type { Staging } from '../staging.js';
import type { LayerRecord } from './layer-records.js';

/** A layer in the words of the archive threads, which turn it back into its tar. */
export async function storedLayer(context: StoreContext, layer: LayerRecord): Promise<StoredLayer> {
  const driver = await context.driver();
  const { tree } = await driver.applyTarget(layer.cacheId);
  return { tarSplitPath: tarSplitPath(context.paths, layer.cacheId), tree, diffId: layer.diffId, size: layer.tarSize };
}

/**
 * Writes a layer's tar compressed into staging, checked against its diff ID on the way.
 * @throws StoreError ERR_STORE_DAMAGED, ERR_NO_SPACE, ERR_ABORTED
 */
export async function compressLayer(
  context: StoreContext,
  staging: Staging,
  layer: LayerRecord,
  compression: 'gzip' | 'zstd',
  options: OperationOptions,
): Promise<WrittenBytes & { readonly path: string }> {
  const workers = await context.workers();
  const path = staging.file(`compressed-${layer.cacheId}`);
  const task = `compress:${layer.diffId}`;
  const label = shortId(layer.diffId);
  const total = layer.tarSize;
  options.onProgress?.({ kind: 'start', task, label, total });
  const written = await workers.run(
    { kind: 'compress', layer: await storedLayer(context, layer), to: path, compression },
    {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (done) => options.onProgress?.({ kind: 'advance', task, done, total }),
    },
  );
  options.onProgress?.({ kind: 'end', task, label, outcome: 'done' });
  return { ...written, path };
}
