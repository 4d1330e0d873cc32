import { reachedStep, StoreError } from '@layerstore/core';
import { addPending } from '../layers/pending.js';
import { deleteSnapshot, hasChildren, requireSnapshot } from './snapshot-records.js';
import { closeSnapshot } from './view-use.js';
import type { SnapshotWriter } from './writer.js';

/**
 * Removes a snapshot: its record goes and its key is free at once, its directory is deleted later. A layer of the store that stood
 * for it stays. Durable on return. Cost: one record.
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_HAS_CHILDREN
 */
export async function removeSnapshot(writer: SnapshotWriter, owner: string, key: string): Promise<void> {
  const { database } = writer.context;
  const removed = await writer.writes.write(() => {
    const snapshot = requireSnapshot(database, owner, key);
    if (hasChildren(database, snapshot.id)) {
      throw new StoreError('ERR_SNAPSHOT_HAS_CHILDREN', 'cannot remove a snapshot with children', {
        subject: `snapshot ${JSON.stringify(key)}`,
        hint: 'remove the snapshots above it first',
      });
    }
    deleteSnapshot(database, snapshot.id);
    if (snapshot.cacheId !== undefined) addPending(database, snapshot.cacheId, writer.directories.staging);
    return snapshot;
  });
  const { id, cacheId } = removed;
  reachedStep('snapshot.removed', String(id));
  writer.usages.forget(id);
  if (cacheId === undefined) await closeSnapshot(writer.context, removed);
  else writer.deletions.add(cacheId);
}
