import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, reachedStep, StoreError, type LayerId } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { dropPending } from '../layers/pending.js';
import type { GroupedWrites } from './grouped-writes.js';

/** How long nothing must have been removed before deletions begin by themselves, in milliseconds: a burst of removals comes first. */
const restMs = 1000;

/** How long a directory that is still mounted somewhere is left alone, in milliseconds. */
const busyDelayMs = 1000;

/**
 * Deletes the directories of removed snapshots behind the caller's back, one tree at a time so that neighbours keep the disk. Each is in
 * `pending` until it is gone: what a kill leaves is deleted by the next collector.
 */
export class Deletions implements AsyncDisposable {
  readonly #due = new Set<LayerId>();
  readonly #busy = new Set<LayerId>();
  #working: Promise<void> | undefined;
  #resting: NodeJS.Timeout | undefined;
  readonly #stopped = new AbortController();

  constructor(
    private readonly context: StoreContext,
    private readonly writes: GroupedWrites,
  ) {}

  get waiting(): number {
    return this.#due.size;
  }

  /** The directory is deleted when no more come for a while, or with the next {@link settle}. */
  add(id: LayerId): void {
    if (this.#stopped.signal.aborted) return;
    this.#due.add(id);
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#start(), restMs).unref();
  }

  /**
   * Waits until what is due now is deleted. A directory that is in use stays due and is not waited for.
   * @throws StoreError ERR_ABORTED
   */
  async settle(signal?: AbortSignal): Promise<void> {
    const due = [...this.#due];
    if (due.length > 0) this.#start();
    while (this.#working !== undefined && due.some((id) => this.#due.has(id) && !this.#busy.has(id))) {
      if (signal?.aborted === true) throw new StoreError('ERR_ABORTED', 'cancelled while directories are deleted');
      await Promise.race([this.#working, delay(20)]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    clearTimeout(this.#resting);
    await this.#working;
  }

  #start(): void {
    clearTimeout(this.#resting);
    if (this.#stopped.signal.aborted) return;
    this.#working ??= this.#work().finally(() => (this.#working = undefined));
  }

  async #work(): Promise<void> {
    while (this.#due.size > 0 && !this.#stopped.signal.aborted) {
      const next = [...this.#due].find((id) => !this.#busy.has(id));
      if (next === undefined) await this.#waitForUsers();
      else await this.#delete(next);
    }
  }

  async #delete(id: LayerId): Promise<void> {
    try {
      const driver = await this.context.driver();
      await driver.remove(id);
      reachedStep('snapshot.deleted', id);
      await this.writes.write(() => dropPending(this.context.database, id));
      this.#due.delete(id);
    } catch (error) {
      this.#busy.add(id);
      if (!hasCode(error, 'ERR_BUSY')) {
        this.context.logger.error({ error, directory: id }, 'the directory of a removed snapshot cannot be deleted');
      }
    }
  }

  async #waitForUsers(): Promise<void> {
    try {
      await delay(busyDelayMs, undefined, { signal: this.#stopped.signal, ref: false });
    } catch (error) {
      if (!this.#stopped.signal.aborted) throw error;
    }
    this.#busy.clear();
  }
}
