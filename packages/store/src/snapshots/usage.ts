import { hasCode, StoreError, type LayerId } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { SnapshotUsage } from '../model.js';
import type { GroupedWrites } from './grouped-writes.js';
import { ownTree } from './own-tree.js';
import { recordUsage, requireSnapshot, snapshotById, type SnapshotRecord } from './snapshot-records.js';

/** A walk over so many files is answered from memory for ten times as long as it took: kubelets ask every ten seconds. */
const largeWalk = 2000;

/** Adds up a directory of the home, in a worker. @throws StoreError ERR_LAYER_NOT_FOUND, ERR_IO */
export async function measureLayer(context: StoreContext, id: LayerId): Promise<SnapshotUsage> {
  const path = await ownTree(context, id);
  const workers = await context.workers();
  return workers.run({ kind: 'tree-usage', path });
}

interface Measured {
  readonly usage: SnapshotUsage;
  readonly until: number;
}

/**
 * What snapshots take. A committed one is measured once, behind its commit; an active one when it is asked for, never twice at a time,
 * and without any lock.
 */
export class SnapshotUsages {
  readonly #running = new Map<number, Promise<SnapshotUsage>>();
  readonly #recent = new Map<number, Measured>();
  #measuring: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: StoreContext,
    private readonly writes: GroupedWrites,
  ) {}

  /** @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_IO */
  async of(owner: string, key: string): Promise<SnapshotUsage> {
    const snapshot = requireSnapshot(this.context.database, owner, key);
    if (snapshot.usage !== undefined) return snapshot.usage;
    const recent = this.#recent.get(snapshot.id);
    if (recent !== undefined && snapshot.kind === 'active' && recent.until > performance.now()) return recent.usage;
    return this.#measureOnce(snapshot);
  }

  /** Measures a snapshot that was just committed, after those that came before. */
  measureLater(id: number): void {
    this.#measuring = this.#measuring.then(async () => {
      try {
        const snapshot = snapshotById(this.context.database, id);
        if (snapshot?.kind === 'committed' && snapshot.usage === undefined) await this.#measureOnce(snapshot);
      } catch (error) {
        if (!hasCode(error, 'ERR_CLOSED')) this.context.logger.warn({ error, snapshot: id }, 'its size is not known');
      }
    });
  }

  forget(id: number): void {
    this.#recent.delete(id);
  }

  /** Resolves when nothing is being measured. */
  idle(): Promise<void> {
    return this.#measuring;
  }

  #measureOnce(snapshot: SnapshotRecord): Promise<SnapshotUsage> {
    const key = snapshot.kind === 'committed' ? -snapshot.id : snapshot.id;
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#measure(snapshot).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  async #measure(snapshot: SnapshotRecord): Promise<SnapshotUsage> {
    const { id, kind, shownBy } = snapshot;
    if (shownBy === undefined) return { size: 0, inodes: 0 };
    const started = performance.now();
    const usage = await this.#walk(snapshot, shownBy);
    const took = performance.now() - started;
    if (kind === 'committed') await this.writes.write(() => recordUsage(this.context.database, id, usage));
    else if (usage.inodes >= largeWalk) this.#recent.set(id, { usage, until: started + 11 * took });
    return usage;
  }

  async #walk(snapshot: SnapshotRecord, directory: LayerId): Promise<SnapshotUsage> {
    try {
      return await measureLayer(this.context, directory);
    } catch (error) {
      // It was removed while it was walked.
      if (snapshotById(this.context.database, snapshot.id) !== undefined) throw error;
      throw new StoreError('ERR_SNAPSHOT_NOT_FOUND', 'the snapshot was removed: not found', {
        subject: snapshot.key,
        cause: error,
      });
    }
  }
}
