import type { ChainId } from '@layerstore/core';
import { findLayer } from '../layers/layer-records.js';
import { requireParent, requireThere } from './prepare.js';
import { insertSnapshot, type Labels, type SnapshotRecord } from './snapshot-records.js';
import { timestampNow } from './timestamp.js';
import type { SnapshotWriter } from './writer.js';

export interface AdoptOptions {
  readonly owner: string;
  /** Name of the committed snapshot that it is to stand on; absent for a base layer. */
  readonly parent?: string;
  readonly chainId: ChainId;
  readonly labels?: Labels;
  /** The chain ID that the labels of a snapshot claim for it, where no layer of the store vouches for it. */
  readonly claimedChainId: (labels: Labels) => ChainId | undefined;
}

/**
 * Commits a snapshot that a layer of the store stands for: nothing is fetched, unpacked or copied. The layer was verified when it was
 * loaded, and a chain ID names everything under it, so what the parent's own directory holds does not matter; that the parent stands
 * for the same chain does.
 * @returns false when the store does not have the layer over this parent
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_INVALID_ARGUMENT for the parent
 */
export async function adoptLayer(writer: SnapshotWriter, options: AdoptOptions): Promise<boolean> {
  const { context } = writer;
  const { owner, chainId, labels = {} } = options;
  const parent = options.parent === undefined ? undefined : requireParent(context, owner, options.parent);
  const layer = findLayer(context.database, chainId);
  if (layer === undefined || layer.parent !== chainOf(parent, options)) return false;
  return writer.writes.write(() => {
    if (findLayer(context.database, chainId)?.cacheId !== layer.cacheId) return false;
    if (parent !== undefined) requireThere(context, parent);
    if (isAdopted(writer, options, parent)) return true;
    const key = `layerstore/${parent?.id ?? 0}/${chainId}`;
    const row = { owner, key, kind: 'committed', parent: parent?.id, chainId, cacheId: undefined, labels } as const;
    insertSnapshot(context.database, row, timestampNow(), { synced: true, bootId: writer.bootId });
    return true;
  });
}

function chainOf(parent: SnapshotRecord | undefined, { claimedChainId }: AdoptOptions): ChainId | undefined {
  return parent === undefined ? undefined : (parent.chainId ?? claimedChainId(parent.labels));
}

/** Another namespace of the same engine has asked before: one snapshot serves both. */
function isAdopted(
  writer: SnapshotWriter,
  { owner, chainId }: AdoptOptions,
  parent: SnapshotRecord | undefined,
): boolean {
  const { database } = writer.context;
  return (
    database
      .prepare('SELECT 1 FROM snapshots WHERE owner = ? AND chain_id = ? AND parent IS ?')
      .get(owner, chainId, parent?.id ?? null) !== undefined
  );
}
