import { createHash } from 'node:crypto';
import type { LayerId } from '@layerstore/core';
import type { ViewUse } from '@layerstore/drivers';
import type { MountPlan } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import { snapshotById, type SnapshotRecord } from './snapshot-records.js';

/** What tells a snapshot from all others while it exists. */
export interface NamedSnapshot {
  readonly owner: string;
  readonly key: string;
}

/**
 * How a snapshot is mounted by whoever asked. What the mount needs is kept until {@link closeSnapshot}, because nobody says
 * when it is mounted and when no more.
 */
export async function openSnapshot(
  context: StoreContext,
  snapshot: NamedSnapshot,
  shown: LayerId,
  kind: 'active' | 'view',
): Promise<MountPlan> {
  const driver = await context.driver();
  return driver.openView(shown, { readOnly: kind === 'view', use: useOf(snapshot) });
}

/** Lets go of what {@link openSnapshot} kept. Whatever is mounted goes on working. */
export async function closeSnapshot(context: StoreContext, snapshot: SnapshotRecord): Promise<void> {
  const shown = shownBy(context, snapshot);
  if (shown === undefined) return;
  const driver = await context.driver();
  await driver.closeView(shown, useOf(snapshot).name);
}

/** The layer whose view an active snapshot or a view is. */
export function shownBy(context: StoreContext, { cacheId, parent }: SnapshotRecord): LayerId | undefined {
  return cacheId ?? (parent === undefined ? undefined : snapshotById(context.database, parent)?.shownBy);
}

function useOf({ owner, key }: NamedSnapshot): ViewUse {
  const digest = createHash('sha256')
    .update(JSON.stringify([owner, key]))
    .digest('hex');
  return { name: `snapshot-${digest.slice(0, 32)}`, lifetime: 'persistent' };
}
