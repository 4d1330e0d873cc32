import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hasErrno, parseMountTable, type MountTableEntry } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import type { SnapshotSummary } from '../model.js';
import { listSnapshots, snapshotSummary } from './snapshot-records.js';

export interface OrphanOptions {
  /** Younger ones are left out: a client may still be about to use them. In milliseconds; default one day. */
  readonly olderThanMs?: number;
}

/**
 * Active snapshots and views that no process of this machine has mounted, in any mount namespace, and that nobody has changed for a while:
 * what engines have forgotten. They may still be wanted, by a stopped container for example: the engine knows, layerstore does not.
 * Cost: one read of the mount table of each namespace.
 */
export function orphanedSnapshots(context: StoreContext, options: OrphanOptions): SnapshotSummary[] {
  const before = Date.now() - (options.olderThanMs ?? 24 * 60 * 60 * 1000);
  const mounted = mountedPaths(mountTables());
  const orphans: SnapshotSummary[] = [];
  for (const snapshot of listSnapshots(context.database, {})) {
    if (snapshot.kind === 'committed' || snapshot.updated.seconds * 1000 > before) continue;
    const { cacheId } = snapshot;
    const inUse = cacheId !== undefined && mounted.some((path) => path.includes(`/${cacheId}`));
    if (!inUse) orphans.push(snapshotSummary(snapshot));
  }
  return orphans;
}

/** Directories that mounts show or write: roots of bind mounts, and uppers of overlays. */
function mountedPaths(tables: readonly MountTableEntry[]): string[] {
  return tables.flatMap(({ root, superOptions }) => [
    root,
    ...superOptions.filter((option) => option.startsWith('upperdir=')),
  ]);
}

/** The mounts of every namespace that some process is in. */
function mountTables(): MountTableEntry[] {
  const seen = new Set<string>();
  const entries: MountTableEntry[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      entries.push(...parseMountTable(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')));
      seen.add(namespace);
    } catch (error) {
      // The process has ended, or is a kernel thread.
      if (!hasErrno(error, 'ENOENT', 'ESRCH', 'EINVAL', 'EACCES')) throw error;
    }
  }
  return entries;
}
