/**
 * The one step by which layers, and whatever stands on them, become part of the store.
 *
 * Order: file content is on disk (one syncfs), then files are renamed into place and all records are written in one transaction.
 * A kill or power cut before the commit leaves only pending directories; after it, nothing is missing.
 */
import { reachedStep, StoreError, type LayerId } from '@layerstore/core';
import { placeFiles, tarSplitPath, type StagedFile } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { dropPending } from './pending.js';
import { findLayer, insertLayer, type LayerRecord } from './layer-records.js';

/** A layer that is unpacked in its home directory and still pending. */
export interface UnpublishedLayer extends LayerRecord {
  /** Where its tar-split record waits. */
  readonly tarSplit: string;
  /** The home directory that it was built on. */
  readonly parentCacheId: LayerId | undefined;
}

export interface Publication {
  /** Base first. Those that have become present meanwhile stay pending and are deleted with their staging. */
  readonly layers: readonly UnpublishedLayer[];
  /** Synced files to be renamed into place. */
  readonly files?: readonly StagedFile[];
  /** Further records of the same transaction. */
  readonly also?: () => void;
  readonly signal?: AbortSignal | undefined;
}

/** Thrown, by code ERR_BUSY, when a layer that the new ones stand on was removed meanwhile: the caller starts again. */
export function parentVanished(layer: LayerRecord): StoreError {
  return new StoreError('ERR_BUSY', 'the layer under it was removed meanwhile', {
    subject: layer.chainId,
    hint: 'try again',
  });
}

/** Publishes durably. @throws StoreError ERR_BUSY, ERR_NO_SPACE, ERR_STORE_LOCKED, ERR_ABORTED */
export async function publish(context: StoreContext, publication: Publication): Promise<void> {
  const { database, paths } = context;
  const subject = publication.layers.at(-1)?.chainId ?? '';
  if (publication.layers.length > 0) {
    const workers = await context.workers();
    await workers.run({ kind: 'sync', path: paths.home });
    reachedStep('publish.synced', subject);
  }
  await database.write(() => {
    const files = [...(publication.files ?? [])];
    for (const layer of publication.layers) {
      if (findLayer(database, layer.chainId) !== undefined) continue;
      if (layer.parent !== undefined && findLayer(database, layer.parent)?.cacheId !== layer.parentCacheId) {
        throw parentVanished(layer);
      }
      insertLayer(database, layer);
      dropPending(database, layer.cacheId);
      files.push({ from: layer.tarSplit, to: tarSplitPath(paths, layer.cacheId) });
    }
    publication.also?.();
    placeFiles(files);
    reachedStep('publish.placed', subject);
  }, publication.signal);
  reachedStep('publish.committed', subject);
}
