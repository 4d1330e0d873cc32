import { requireSnapshot, updateLabels, type Labels, type SnapshotRecord } from './snapshot-records.js';
import { timestampNow } from './timestamp.js';
import type { SnapshotWriter } from './writer.js';

/** One change of the labels; an empty value deletes a label. */
export type LabelChange =
  | { readonly kind: 'replace'; readonly labels: Labels }
  | { readonly kind: 'set'; readonly name: string; readonly value: string };

/** Applies changes in order and returns the snapshot as it is then. @throws StoreError ERR_SNAPSHOT_NOT_FOUND */
export async function updateSnapshot(
  writer: SnapshotWriter,
  owner: string,
  key: string,
  changes: readonly LabelChange[],
): Promise<SnapshotRecord> {
  const { database } = writer.context;
  return writer.writes.write(() => {
    const { id, labels } = requireSnapshot(database, owner, key);
    const changed = changes.reduce<Labels>(
      (before, change) => (change.kind === 'replace' ? change.labels : { ...before, [change.name]: change.value }),
      labels,
    );
    updateLabels(database, id, changed, timestampNow());
    return requireSnapshot(database, owner, key);
  });
}
