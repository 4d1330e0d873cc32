import { randomId, type LayerId } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { addPending, dropPending, replacePending } from '../layers/pending.js';
import { Staging } from '../staging.js';
import type { GroupedWrites } from './grouped-writes.js';

/** Names that are announced in one go. */
const batch = 16;

/**
 * Names for directories that are still to be made, written to `pending` in advance: the transaction that takes one announces the
 * next, so making a snapshot costs one wait for the disk and the home still never holds a directory that the database does not name.
 */
export class AnnouncedDirectories implements AsyncDisposable {
  readonly #free: LayerId[] = [];

  private constructor(
    private readonly context: StoreContext,
    private readonly writes: GroupedWrites,
    /** Holds the lock that says that the owner of the names lives. */
    readonly staging: Staging,
  ) {}

  static async open(context: StoreContext, writes: GroupedWrites): Promise<AnnouncedDirectories> {
    return new AnnouncedDirectories(context, writes, await Staging.create(context.paths));
  }

  /** A name that is in `pending` and is now the caller's: to be published with {@link replace}, or to be deleted. */
  async take(): Promise<LayerId> {
    for (;;) {
      const id = this.#free.pop();
      if (id !== undefined) return id;
      await this.#announce();
    }
  }

  /** Inside the transaction that names the directory elsewhere. @returns tells that the transaction is durable */
  replace(id: LayerId): () => void {
    if (this.#free.length >= batch) {
      dropPending(this.context.database, id);
      return () => undefined;
    }
    const next = randomId();
    replacePending(this.context.database, id, next);
    return () => void this.#free.push(next);
  }

  /** Names that were never used vanish; what was made stays in `pending` for a collector. */
  async [Symbol.asyncDispose](): Promise<void> {
    const unused = this.#free.splice(0);
    await this.writes.write(() => {
      for (const id of unused) dropPending(this.context.database, id);
    });
    await this.staging[Symbol.asyncDispose]();
  }

  async #announce(): Promise<void> {
    const names = Array.from({ length: batch }, randomId);
    await this.writes.write(() => {
      for (const name of names) addPending(this.context.database, name, this.staging);
    });
    this.#free.push(...names);
  }
}
