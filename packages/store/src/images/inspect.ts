import { parseImageConfig, type ImageConfig } from '@layerstore/oci';
import { readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { layerStack, layerSummary, type LayerRecord } from '../layers/layer-records.js';
import type { HistoryEntry, ImageDetails } from '../model.js';
import { namesOf } from './image-records.js';
import { imageSummary } from './list.js';
import { resolveImage } from './resolve.js';

/** @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_STORE_DAMAGED */
export function inspectImage(context: StoreContext, nameOrId: string): ImageDetails {
  const { database, paths } = context;
  return database.read(() => {
    const { image } = resolveImage(database, nameOrId);
    const config: unknown = JSON.parse(readDocument(paths, image.id).toString('utf8'));
    return {
      ...imageSummary(image, namesOf(database, image.id)),
      ...(image.chainId === undefined ? {} : { chainId: image.chainId }),
      layerList: layerStack(database, image.chainId).map(layerSummary),
      config,
      ...(image.manifest === undefined ? {} : { manifestDigest: image.manifest }),
    };
  });
}

/** How the image came to be, newest first as docker prints it. @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_STORE_DAMAGED */
export function imageHistory(context: StoreContext, nameOrId: string): HistoryEntry[] {
  const { database, paths } = context;
  return database.read(() => {
    const { image } = resolveImage(database, nameOrId);
    const config = parseImageConfig(readDocument(paths, image.id));
    return historyOf(config, layerStack(database, image.chainId));
  });
}

/** A config may have fewer history entries than layers: layers without one are still listed. */
function historyOf(config: ImageConfig, layers: readonly LayerRecord[]): HistoryEntry[] {
  const waiting = [...layers];
  const entries = (config.history ?? []).map((entry): HistoryEntry => {
    const emptyLayer = entry.empty_layer === true;
    const layer = emptyLayer ? undefined : waiting.shift();
    return {
      ...(entry.created === undefined ? {} : { createdAt: entry.created }),
      ...(entry.created_by === undefined ? {} : { createdBy: entry.created_by }),
      ...(entry.author === undefined ? {} : { author: entry.author }),
      ...(entry.comment === undefined ? {} : { comment: entry.comment }),
      emptyLayer,
      ...(layer === undefined ? {} : { diffId: layer.diffId }),
      size: layer?.size ?? 0,
    };
  });
  const unnamed = waiting.map((layer): HistoryEntry => ({ emptyLayer: false, diffId: layer.diffId, size: layer.size }));
  return [...entries, ...unnamed].reverse();
}
