import { setTimeout as delay } from 'node:timers/promises';
import type { StoreContext } from '../context.js';
import type { GroupedWrites } from './grouped-writes.js';

/** How long after a commit that did not wait for it the disk is written, in milliseconds. */
const laterMs = 5000;

/** Waits for the disk on behalf of commits: those that arrive while one sync runs share the next. */
export class FileSystemSyncs implements AsyncDisposable {
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #later: Promise<void> | undefined;
  readonly #unsynced = new Set<number>();
  readonly #stopped = new AbortController();

  constructor(
    private readonly context: StoreContext,
    private readonly writes: GroupedWrites,
  ) {}

  /** Everything that was written to the home before the call is on disk when the promise resolves. @throws StoreError ERR_IO */
  sync(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#sync().finally(() => (this.#running = undefined));
      return this.#running;
    }
    // What runs began before this caller's files were complete, perhaps.
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.sync();
      });
    return this.#next;
  }

  /** Syncs a committed snapshot in a while, and records it. */
  syncLater(id: number): void {
    this.#unsynced.add(id);
    this.#later ??= this.#syncAfterPause().finally(() => (this.#later = undefined));
  }

  /** Syncs what is still due. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await this.#later;
  }

  async #syncAfterPause(): Promise<void> {
    while (this.#unsynced.size > 0) {
      await delay(laterMs, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => undefined);
      const ids = [...this.#unsynced];
      this.#unsynced.clear();
      try {
        await this.sync();
        const { database } = this.context;
        await this.writes.write(() => {
          for (const id of ids) database.prepare('UPDATE snapshots SET synced = 1 WHERE id = ?').run(id);
        });
      } catch (error) {
        this.context.logger.error({ error, snapshots: ids.length }, 'committed snapshots are not on disk yet');
        if (this.#stopped.signal.aborted) return;
        for (const id of ids) this.#unsynced.add(id);
      }
    }
  }

  async #sync(): Promise<void> {
    const workers = await this.context.workers();
    await workers.run({ kind: 'sync', path: this.context.paths.home });
  }
}
