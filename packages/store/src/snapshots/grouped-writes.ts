import type { MetaDatabase } from '../database/meta-database.js';

interface Waiting {
  /** Alone, it may throw: the transaction is undone. */
  run(how: 'alone' | 'in savepoint'): void;
  /** Told once the group is durable. */
  settle(): void;
  fail(error: unknown): void;
}

/**
 * Writes that arrive together share one transaction, and so one wait for the disk. Each is a savepoint of its own: one that throws is
 * undone alone.
 */
export class GroupedWrites {
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(private readonly database: MetaDatabase) {}

  /**
   * Runs `action` in a transaction; durable when the promise resolves.
   * @throws what `action` throws; StoreError ERR_STORE_LOCKED, ERR_NO_SPACE
   */
  write<T>(action: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let outcome: { readonly value: T } | { readonly error: Error } | undefined;
      this.#waiting.push({
        run: (how) => {
          if (how === 'alone') {
            outcome = { value: action() };
            return;
          }
          try {
            outcome = { value: this.#inSavepoint(action) };
          } catch (error) {
            outcome = { error: error instanceof Error ? error : new Error(String(error)) };
          }
        },
        settle: () => {
          if (outcome !== undefined && 'value' in outcome) resolve(outcome.value);
          else reject(outcome?.error ?? new Error('the write was not run'));
        },
        fail: reject,
      });
      this.#running ??= this.#drain().finally(() => (this.#running = undefined));
    });
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Requests that have arrived but were not read yet join the group.
      await new Promise(setImmediate);
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.database.write(() => {
          for (const waiting of group) waiting.run(group.length === 1 ? 'alone' : 'in savepoint');
        });
        for (const waiting of group) waiting.settle();
      } catch (error) {
        for (const waiting of group) waiting.fail(error);
      }
    }
  }

  #inSavepoint<T>(action: () => T): T {
    const { database } = this;
    database.prepare('SAVEPOINT grouped').run();
    try {
      const value = action();
      database.prepare('RELEASE grouped').run();
      return value;
    } catch (error) {
      database.prepare('ROLLBACK TO grouped').run();
      database.prepare('RELEASE grouped').run();
      throw error;
    }
  }
}
