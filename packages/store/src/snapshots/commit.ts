import { reachedStep, StoreError } from '@layerstore/core';
import { kindText } from './prepare.js';
import { commitRow, refuseTakenKey, requireSnapshot, type Labels, type SnapshotRecord } from './snapshot-records.js';
import { timestampNow } from './timestamp.js';
import { closeSnapshot } from './view-use.js';
import type { SnapshotWriter } from './writer.js';

export interface CommitSnapshotOptions {
  readonly owner: string;
  /** Of an active snapshot. */
  readonly key: string;
  /** Of the committed one. */
  readonly name: string;
  /** Replace those of the active snapshot. */
  readonly labels?: Labels;
  /** `synced`, the default: on disk on return. `unsynced`: some seconds later; until then a power cut can take content of it. */
  readonly durability?: 'synced' | 'unsynced';
}

/**
 * Turns an active snapshot into a committed one, which never changes again. Whoever has it mounted may unmount later, but writes no more.
 * Its size is measured afterwards. Cost: writing its data to disk, and one record.
 * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_EXISTS for the name, ERR_WRONG_KIND, ERR_NO_SPACE, ERR_IO
 * @throws StoreError ERR_MALFORMED_THIN_LAYER, ERR_UNSUPPORTED_FORMAT, ERR_MAX_DEPTH for a thin layer that cannot be shown
 */
export async function commitSnapshot(writer: SnapshotWriter, options: CommitSnapshotOptions): Promise<void> {
  const { database } = writer.context;
  const { owner, key, name, labels = {}, durability = 'synced' } = options;
  if (name === '') throw new StoreError('ERR_INVALID_ARGUMENT', 'the name of a snapshot is empty');
  const read = (): SnapshotRecord => {
    refuseTakenKey(database, owner, name);
    const snapshot = requireSnapshot(database, owner, key);
    if (snapshot.kind === 'active') return snapshot;
    throw new StoreError('ERR_WRONG_KIND', `only an active snapshot is committed, this is ${kindText(snapshot)}`, {
      subject: `snapshot ${JSON.stringify(key)}`,
    });
  };
  const snapshot = read();
  const { id, cacheId } = snapshot;
  const synced = durability === 'synced';
  if (synced) await writer.syncs.sync();
  // What the engine has unpacked into it may be a thin layer, and must be a valid one before others stand on it.
  if (cacheId !== undefined) await (await writer.context.driver()).finishApply(cacheId);
  reachedStep('snapshot.commit.synced', String(id));
  await writer.writes.write(() => {
    commitRow(database, read(), { name, labels, synced, now: timestampNow() });
  });
  reachedStep('snapshot.committed', String(id));
  await closeSnapshot(writer.context, snapshot);
  writer.usages.forget(id);
  writer.usages.measureLater(id);
  if (!synced) writer.syncs.syncLater(id);
}
