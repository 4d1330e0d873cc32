import { createHash } from 'node:crypto';
import { digestFromHex, fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import { LayerFiles } from '../apply/layer-files.js';
import type { ByteSource } from '../byte-source.js';
import { joinTarSplit } from '../tar-split/join.js';
import type { StoredLayer } from './jobs.js';

/**
 * The tar of a stored layer, byte for byte, checked at its end against size and diff ID.
 * @throws StoreError ERR_STORE_DAMAGED, with the diff ID as its subject, when a file is missing or altered
 */
export function* layerTar(layer: StoredLayer): ByteSource {
  const hash = createHash('sha256');
  let size = 0;
  try {
    using files = new LayerFiles(layer.tree);
    for (const chunk of joinTarSplit(layer.tarSplitPath, files.open)) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw ofLayer(layer, error);
  }
  const diffId = digestFromHex(hash.digest('hex'));
  if (size !== layer.size || diffId !== layer.diffId) throw damaged(layer, `its content gives the diff ID ${diffId}`);
}

function ofLayer(layer: StoredLayer, cause: unknown): StoreError {
  const error = fromSystemError(cause, layer.tree.path);
  const isMissing = hasErrno(error.cause, 'ENOENT', 'ENOTDIR');
  return error.code === 'ERR_STORE_DAMAGED' || isMissing ? damaged(layer, error.message, error) : error;
}

function damaged(layer: StoredLayer, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: layer.diffId,
    hint: 'remove the images that stand on the layer and load them again; `layerstore check --verify` lists all',
    cause,
  });
}
