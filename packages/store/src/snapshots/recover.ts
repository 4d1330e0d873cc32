import { hasCode } from '@layerstore/core';
import { bootId } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import { collectLeftovers } from '../maintenance/leftovers.js';
import { layerOptions, type SnapshotLayer } from './prepare.js';
import { listSnapshots, snapshotById, type Labels } from './snapshot-records.js';
import type { SnapshotWriter } from './writer.js';

/** What was found when snapshots were taken up again. */
export interface Recovery {
  /** Directories that removed or half made snapshots of dead processes had left. */
  readonly collected: number;
  /** Active snapshots whose directories were looked after because the machine has started anew. */
  readonly restored: number;
}

/**
 * Takes up after a process that ended somehow, or a machine that went down: collects leftovers, makes directories whole that a power
 * cut took apart, and goes on measuring. To be called before the first request is answered.
 * @param layerOf what the directory of an active snapshot with these labels was made with
 * @throws StoreError ERR_STORE_DAMAGED when the directory of a committed snapshot is missing
 */
export async function recoverSnapshots(
  writer: SnapshotWriter,
  layerOf: (labels: Labels) => SnapshotLayer,
): Promise<Recovery> {
  const { context } = writer;
  const { staging, directories } = await collectLeftovers(context);
  const restored = await restoreUnsynced(context, layerOf);
  for (const { id, kind, usage } of listSnapshots(context.database, {})) {
    if (kind === 'committed' && usage === undefined) writer.usages.measureLater(id);
  }
  return { collected: staging + directories, restored };
}

/** Snapshots that were made unsynced before the machine started: the database knows what their directories have to be. */
async function restoreUnsynced(context: StoreContext, layerOf: (labels: Labels) => SnapshotLayer): Promise<number> {
  const { database } = context;
  const boot = bootId();
  const rows = database
    .prepare('SELECT id FROM snapshots WHERE synced = 0 AND boot_id <> ? AND cache_id IS NOT NULL ORDER BY id')
    .all(boot);
  const driver = await context.driver();
  for (const { id } of rows) {
    const snapshot = snapshotById(database, Number(id));
    if (snapshot?.cacheId === undefined) continue;
    const { cacheId, kind, labels } = snapshot;
    const parent = snapshot.parent === undefined ? undefined : snapshotById(database, snapshot.parent);
    const restore = (layer: SnapshotLayer): Promise<void> => driver.restore(cacheId, layerOptions(parent, layer));
    try {
      await restore(kind === 'active' ? layerOf(labels) : {});
    } catch (error) {
      // Labels can have been changed to anything since the directory was made. They must not keep the others from being served.
      if (!hasCode(error, 'ERR_INVALID_ARGUMENT', 'ERR_NOT_SUPPORTED')) throw error;
      context.logger.warn({ error, key: snapshot.key }, 'it is made whole without what its labels ask for');
      await restore({});
    }
  }
  // A commit that never reached the disk keeps its old mark: `check` tells of it.
  await database.write(() =>
    database.prepare(`UPDATE snapshots SET boot_id = ? WHERE synced = 0 AND kind <> 'committed'`).run(boot),
  );
  return rows.length;
}
