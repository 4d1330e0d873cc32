import { StoreError } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { SnapshotMount } from './prepare.js';
import { requireSnapshot } from './snapshot-records.js';
import { openSnapshot, shownBy } from './view-use.js';

/**
 * How an active snapshot or view is mounted: the same answer as when it was made.
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_WRONG_KIND for a committed one, ERR_STORE_DAMAGED
 */
export async function snapshotMount(context: StoreContext, owner: string, key: string): Promise<SnapshotMount> {
  const snapshot = requireSnapshot(context.database, owner, key);
  const { kind, labels } = snapshot;
  const subject = `snapshot ${JSON.stringify(key)}`;
  if (kind === 'committed') {
    throw new StoreError('ERR_WRONG_KIND', 'a committed snapshot is not mounted, only views and active ones over it', {
      subject,
    });
  }
  const shown = shownBy(context, snapshot);
  if (shown === undefined) {
    throw new StoreError('ERR_STORE_DAMAGED', 'the snapshot names no directory', {
      subject,
      hint: 'remove it; `layerstore check` lists what else is damaged',
    });
  }
  return { plan: await openSnapshot(context, snapshot, shown, kind), labels };
}
