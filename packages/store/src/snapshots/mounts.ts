import { StoreError } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { SnapshotMount } from './prepare.js';
import { requireSnapshot, snapshotById } from './snapshot-records.js';

/**
 * How an active snapshot or view is mounted: the same answer as when it was made.
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_WRONG_KIND for a committed one, ERR_STORE_DAMAGED
 */
export async function snapshotMount(context: StoreContext, owner: string, key: string): Promise<SnapshotMount> {
  const { kind, labels, cacheId, parent } = requireSnapshot(context.database, owner, key);
  const subject = `snapshot ${JSON.stringify(key)}`;
  if (kind === 'committed') {
    throw new StoreError('ERR_WRONG_KIND', 'a committed snapshot is not mounted, only views and active ones over it', {
      subject,
    });
  }
  const shown = cacheId ?? (parent === undefined ? undefined : snapshotById(context.database, parent)?.shownBy);
  if (shown === undefined) {
    throw new StoreError('ERR_STORE_DAMAGED', 'the snapshot names no directory', {
      subject,
      hint: 'remove it; `layerstore check` lists what else is damaged',
    });
  }
  const driver = await context.driver();
  return { plan: await driver.plan(shown, { readOnly: kind === 'view' }), labels };
}
