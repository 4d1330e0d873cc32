/**
 * SQLite behind the few calls that the store makes: `node:sqlite` where this Node has it, `libsql` elsewhere.
 *
 * Both are synchronous. Parameters are strings, safe integers, bigints of 64 bits, bytes for blobs, and null; both give rows as records.
 */
import { openEngine, type SqliteEngine } from './engines.js';
import { translated } from './failures.js';

export type SqlValue = string | number | bigint | Uint8Array | null;
export type Row = Readonly<Record<string, unknown>>;

export interface Statement {
  /** Returns the number of changed rows. */
  run(...values: SqlValue[]): number;
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
}

export interface SqliteConnection {
  readonly engine: SqliteEngine;
  exec(sql: string): void;
  /** Statements are compiled once per text and kept. */
  prepare(sql: string): Statement;
  close(): void;
}

/**
 * Opens or creates a database file. `engine` forces one of the two.
 * @throws StoreError ERR_MISSING_PREREQUISITE where neither engine is there
 * @throws StoreError ERR_STORE_DAMAGED, ERR_NO_SPACE, ERR_IO for what SQLite reports
 */
export function openSqlite(path: string, engine?: SqliteEngine): SqliteConnection {
  const { engine: opened, database, bind } = openEngine(path, 'read-write', engine);
  const statements = new Map<string, Statement>();
  const compile = (sql: string): Statement => {
    const raw = translated(path, () => database.prepare(sql));
    return {
      run: (...values) => translated(path, () => Number(raw.run(...bind(values)).changes)),
      get: (...values) => translated(path, () => (raw.get(...bind(values)) ?? undefined) as Row | undefined),
      all: (...values) => translated(path, () => raw.all(...bind(values)) as Row[]),
    };
  };
  return {
    engine: opened,
    exec: (sql) => {
      translated(path, () => database.exec(sql));
    },
    prepare: (sql) => {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = compile(sql);
        statements.set(sql, statement);
      }
      return statement;
    },
    close: () => {
      statements.clear();
      database.close();
    },
  };
}
