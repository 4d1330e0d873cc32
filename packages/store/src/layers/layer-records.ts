import { isDigest, parseLayerId, StoreError, type ChainId, type DiffId, type LayerId } from '@layerstore/core';
import type { MetaDatabase } from '../database/meta-database.js';
import type { Row } from '@layerstore/sqlite';
import type { LayerSummary } from '../model.js';

/** A complete layer, as the database knows it. */
export interface LayerRecord {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | undefined;
  readonly cacheId: LayerId;
  readonly size: number;
  readonly tarSize: number;
  /** 1 for a base layer. */
  readonly depth: number;
  /** Milliseconds since 1970. */
  readonly created: number;
}

export function findLayer(database: MetaDatabase, chainId: ChainId): LayerRecord | undefined {
  const row = database.prepare('SELECT * FROM layers WHERE chain_id = ?').get(chainId);
  return row === undefined ? undefined : decodeLayer(row);
}

/**
 * The stack under a chain ID, base first.
 * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
 */
export function layerStack(database: MetaDatabase, top: ChainId | undefined): LayerRecord[] {
  const stack: LayerRecord[] = [];
  for (let chainId = top; chainId !== undefined;) {
    const layer = findLayer(database, chainId);
    if (layer === undefined) throw new StoreError('ERR_LAYER_NOT_FOUND', 'no such layer', { subject: chainId });
    // Depth falls by one from child to parent, so a damaged record cannot lead round in a circle.
    const child = stack.at(-1);
    if (child !== undefined && layer.depth !== child.depth - 1)
      throw damaged(chainId, 'its depth does not fit its child');
    stack.push(layer);
    chainId = layer.parent;
  }
  return stack.reverse();
}

export function allLayers(database: MetaDatabase): Row[] {
  return database.prepare('SELECT * FROM layers ORDER BY depth, chain_id').all();
}

export function insertLayer(database: MetaDatabase, layer: LayerRecord): void {
  database
    .prepare('INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    .run(
      layer.chainId,
      layer.diffId,
      layer.parent ?? null,
      layer.cacheId,
      layer.size,
      layer.tarSize,
      layer.depth,
      layer.created,
    );
}

export function deleteLayer(database: MetaDatabase, chainId: ChainId): void {
  database.prepare('DELETE FROM layers WHERE chain_id = ?').run(chainId);
}

/** True while an image, a container, a snapshot or another layer stands on it. */
export function layerInUse(database: MetaDatabase, chainId: ChainId): boolean {
  const row = database
    .prepare(
      `SELECT EXISTS (SELECT 1 FROM layers WHERE parent = ?1) OR EXISTS (SELECT 1 FROM images WHERE chain_id = ?1)
         OR EXISTS (SELECT 1 FROM containers WHERE chain_id = ?1) OR EXISTS (SELECT 1 FROM snapshots WHERE chain_id = ?1)
         AS used`,
    )
    .get(chainId);
  return row?.['used'] !== 0;
}

/** @throws StoreError ERR_STORE_DAMAGED naming the record */
export function decodeLayer(row: Row): LayerRecord {
  const { chain_id, diff_id, parent, cache_id, size, tar_size, depth, created } = row;
  const subject = String(chain_id);
  if (!isDigest(chain_id) || !isDigest(diff_id)) throw damaged(subject, 'a digest is malformed');
  if (parent !== null && !isDigest(parent)) throw damaged(subject, 'the parent is malformed');
  if (
    typeof size !== 'number' ||
    typeof tar_size !== 'number' ||
    typeof depth !== 'number' ||
    typeof created !== 'number'
  ) {
    throw damaged(subject, 'a number is missing');
  }
  return {
    chainId: chain_id,
    diffId: diff_id,
    parent: parent ?? undefined,
    cacheId: parseLayerId(cache_id),
    size,
    tarSize: tar_size,
    depth,
    created,
  };
}

export function layerSummary(layer: LayerRecord): LayerSummary {
  return {
    chainId: layer.chainId,
    diffId: layer.diffId,
    ...(layer.parent === undefined ? {} : { parent: layer.parent }),
    cacheId: layer.cacheId,
    size: layer.size,
    tarSize: layer.tarSize,
    createdAt: new Date(layer.created).toISOString(),
  };
}

function damaged(subject: string, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', `layer record: ${reason}`, {
    subject,
    hint: 'run `layerstore check`, then remove the image and load it again',
  });
}
