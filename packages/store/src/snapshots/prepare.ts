import { reachedStep, StoreError, type LayerId, type Owner } from '@layerstore/core';
import type { CreateReadWriteOptions } from '@layerstore/drivers';
import type { MountPlan } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import type { SnapshotSummary } from '../model.js';
import {
  insertSnapshot,
  isRecorded,
  keptLabels,
  refuseTakenKey,
  requireSnapshot,
  snapshotSummary,
  type Labels,
  type SnapshotRecord,
} from './snapshot-records.js';
import { timestampNow } from './timestamp.js';
import { openSnapshot } from './view-use.js';
import type { SnapshotWriter } from './writer.js';

export interface PrepareOptions {
  readonly owner: string;
  /** Opaque; one space of names for all kinds of snapshots of an owner. */
  readonly key: string;
  /** Name of a committed snapshot of the same owner; absent for an empty one. */
  readonly parent?: string;
  readonly labels?: Labels;
  readonly layer?: SnapshotLayer;
}

/** What the directory of an active snapshot is made with beyond its parent. */
export interface SnapshotLayer {
  /** Gives the owner of the new upper's root, from that of the parent's; default: the same. Ignored by drivers that copy. */
  readonly rootOwner?: (parent: Owner) => Owner;
  /** As {@link CreateReadWriteOptions.storageOptions}. */
  readonly storageOptions?: Readonly<Record<string, string>>;
}

/** A snapshot that was just made, and how it is mounted. */
export interface PreparedSnapshot extends SnapshotMount {
  readonly snapshot: SnapshotSummary;
}

/** How a snapshot is to be mounted, by whoever asked. */
export interface SnapshotMount {
  readonly plan: MountPlan;
  readonly labels: Labels;
}

/**
 * Makes an active snapshot, or a view. Nothing is mounted. Its record is durable on return; its directory is made again after a power
 * cut, without what was written into it and not synced.
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND for the parent, ERR_INVALID_ARGUMENT for a parent that is not committed, ERR_EXISTS, ERR_MAX_DEPTH,
 *   what the driver throws for `layer`
 */
export async function prepareSnapshot(
  writer: SnapshotWriter,
  kind: 'active' | 'view',
  options: PrepareOptions,
): Promise<PreparedSnapshot> {
  const { context, writes, directories } = writer;
  const { database } = context;
  const { owner, key, labels = {} } = options;
  if (key === '') throw new StoreError('ERR_INVALID_ARGUMENT', 'the key of a snapshot is empty');
  const parent = options.parent === undefined ? undefined : requireParent(context, owner, options.parent);
  refuseTakenKey(database, owner, key);
  const driver = await context.driver();
  const insert = (cacheId: LayerId | undefined): SnapshotSummary => {
    if (parent !== undefined) requireThere(context, parent);
    const row = { owner, key, kind, parent: parent?.id, chainId: undefined, cacheId, labels: keptLabels(labels) };
    const now = timestampNow();
    const id = insertSnapshot(database, row, now, { synced: false, bootId: writer.bootId });
    return snapshotSummary({ ...row, id, parentKey: parent?.key, created: now, updated: now });
  };
  // Over a layer that stands for others, only a layer of its own shows what those hold.
  if (kind === 'view' && parent?.shownBy !== undefined && !driver.abilities.lazy) {
    const plan = await openSnapshot(context, options, parent.shownBy, kind);
    return { plan, labels, snapshot: await writes.write(() => insert(undefined)) };
  }
  const cacheId = await directories.take();
  try {
    await driver.createReadWrite(cacheId, layerOptions(parent, options.layer));
    reachedStep('snapshot.made', cacheId);
    const plan = await openSnapshot(context, options, cacheId, kind);
    const { snapshot, announced } = await writes.write(() => ({
      snapshot: insert(cacheId),
      announced: directories.replace(cacheId),
    }));
    announced();
    reachedStep('snapshot.recorded', cacheId);
    return { plan, labels, snapshot };
  } catch (error) {
    writer.deletions.add(cacheId);
    throw error;
  }
}

/** What the directory of a snapshot over `parent` is made with; also when it is made again. */
export function layerOptions(
  parent: SnapshotRecord | undefined,
  { rootOwner, storageOptions }: SnapshotLayer = {},
): CreateReadWriteOptions {
  return {
    ...(parent?.shownBy === undefined ? {} : { parent: parent.shownBy }),
    ...(storageOptions === undefined ? {} : { storageOptions }),
    // As containerd's own snapshotters do, whatever the mode of the parent's.
    root: { mode: 0o755, ...(rootOwner === undefined ? {} : { owner: rootOwner }) },
    durability: 'unsynced',
  };
}

/** @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_INVALID_ARGUMENT */
export function requireParent(context: StoreContext, owner: string, key: string): SnapshotRecord {
  const parent = requireSnapshot(context.database, owner, key);
  if (parent.kind === 'committed') return parent;
  throw new StoreError('ERR_INVALID_ARGUMENT', `the parent is not a committed snapshot but ${kindText(parent)}`, {
    subject: `snapshot ${JSON.stringify(key)}`,
  });
}

export function kindText({ kind }: SnapshotRecord): string {
  return kind === 'active' ? 'an active one' : kind === 'view' ? 'a view' : 'a committed one';
}

/** Inside the transaction that builds on it: it may have been removed since it was read. */
export function requireThere(context: StoreContext, parent: SnapshotRecord): void {
  if (isRecorded(context.database, parent.id)) return;
  throw new StoreError('ERR_SNAPSHOT_NOT_FOUND', 'the parent was removed meanwhile: not found', {
    subject: `snapshot ${JSON.stringify(parent.key)}`,
  });
}
