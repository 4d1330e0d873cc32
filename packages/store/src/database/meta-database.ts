import { StoreError } from '@layerstore/core';
import { readConsistently, writeWhenFree } from './transaction.js';
import { openSqlite, type SqliteConnection, type SqliteEngine, type Statement } from '@layerstore/sqlite';
import { upgradeSchema } from './schema.js';

/** `meta.db` of a root: short transactions over one connection. */
export class MetaDatabase implements Disposable {
  private closed = false;

  private constructor(
    private readonly opened: SqliteConnection,
    private readonly path: string,
    private readonly lockTimeoutMs: number,
  ) {}

  /**
   * Opens the database, upgrading an older one. WAL lets readers go on while one process writes; synchronous=FULL makes
   * a committed transaction survive a power cut.
   * @throws StoreError ERR_STORE_VERSION, ERR_STORE_DAMAGED, ERR_MISSING_PREREQUISITE
   */
  static open(path: string, options: { lockTimeoutMs: number; engine?: SqliteEngine }): MetaDatabase {
    const connection = openSqlite(path, options.engine);
    try {
      // Opening may have to recover the log of a killed process, which needs the lock that another opener holds.
      connection.exec('PRAGMA busy_timeout = 5000');
      connection.exec('PRAGMA journal_mode = WAL');
      connection.exec('PRAGMA synchronous = FULL');
      connection.exec('PRAGMA foreign_keys = ON');
      upgradeSchema(connection, path);
      connection.exec('PRAGMA busy_timeout = 0');
      return new MetaDatabase(connection, path, options.lockTimeoutMs);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  private get connection(): SqliteConnection {
    if (this.closed) throw new StoreError('ERR_CLOSED', 'the store is closed', { subject: this.path });
    return this.opened;
  }

  get engine(): SqliteEngine {
    return this.connection.engine;
  }

  prepare(sql: string): Statement {
    return this.connection.prepare(sql);
  }

  /** Runs `action` on one consistent snapshot. */
  read<T>(action: () => T): T {
    return readConsistently(this.connection, action);
  }

  /**
   * Runs `action` in one transaction; durable on return. `action` must be short: every other writer waits.
   * @throws StoreError ERR_STORE_LOCKED, ERR_ABORTED
   */
  write<T>(action: () => T, signal?: AbortSignal): Promise<T> {
    return writeWhenFree(this.connection, this.lockTimeoutMs, action, signal);
  }

  [Symbol.dispose](): void {
    if (this.closed) return;
    this.closed = true;
    this.opened.close();
  }
}
