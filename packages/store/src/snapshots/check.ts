import { bootId } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import type { Finding } from '../model.js';
import { listSnapshots, snapshotById, type SnapshotRecord } from './snapshot-records.js';

/** Compares the records of snapshots with the home. @returns how many there are */
export async function checkSnapshots(context: StoreContext, findings: Finding[]): Promise<number> {
  const snapshots = listSnapshots(context.database, {});
  const lost = lostBySync(context);
  for (const snapshot of snapshots) {
    const problem = lost.has(snapshot.id)
      ? 'it was committed without a sync shortly before the machine went down: files in it may be empty'
      : await problemOf(context, snapshot);
    // It may have been removed, or committed and so renamed, since the list was read.
    if (problem === undefined || snapshotById(context.database, snapshot.id) === undefined) continue;
    const subject = `${snapshot.owner} ${JSON.stringify(snapshot.key)}`;
    findings.push({
      kind: 'snapshot',
      subject,
      problem,
      remedy: 'remove it through its engine, and pull the image again',
    });
  }
  return snapshots.length;
}

function lostBySync({ database }: StoreContext): ReadonlySet<number> {
  const rows = database
    .prepare(`SELECT id FROM snapshots WHERE kind = 'committed' AND synced = 0 AND boot_id <> ?`)
    .all(bootId());
  return new Set(rows.map(({ id }) => Number(id)));
}

async function problemOf(context: StoreContext, { cacheId }: SnapshotRecord): Promise<string | undefined> {
  if (cacheId === undefined) return undefined;
  const driver = await context.driver();
  if (!(await driver.exists(cacheId))) return `its directory ${cacheId} is missing from the home`;
  try {
    await driver.plan(cacheId);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
