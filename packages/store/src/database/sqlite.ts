/**
 * SQLite behind the few calls that the store makes: `node:sqlite` where this Node has it, `libsql` elsewhere.
 *
 * Both are synchronous. Parameters are strings, safe integers and null; both give rows as records.
 */
import { createRequire } from 'node:module';
import { hasCode, StoreError } from '@layerstore/core';

export type SqlValue = string | number | null;
export type Row = Readonly<Record<string, unknown>>;

export interface Statement {
  /** Returns the number of changed rows. */
  run(...values: SqlValue[]): number;
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
}

export interface SqliteConnection {
  readonly engine: 'node:sqlite' | 'libsql';
  exec(sql: string): void;
  /** Statements are compiled once per text and kept. */
  prepare(sql: string): Statement;
  close(): void;
}

export type SqliteEngine = SqliteConnection['engine'];

/**
 * Opens or creates a database file. `engine` forces one of the two.
 * @throws StoreError ERR_MISSING_PREREQUISITE where neither engine is there
 * @throws StoreError ERR_STORE_DAMAGED, ERR_NO_SPACE, ERR_IO for what SQLite reports
 */
export function openSqlite(path: string, engine?: SqliteEngine): SqliteConnection {
  const require = createRequire(import.meta.url);
  if (engine !== 'libsql') {
    const native = openNodeSqlite(path, require);
    if (native !== undefined) return native;
    if (engine === 'node:sqlite') throw missing('node:sqlite', 'use Node 22.13 or later');
  }
  return openLibsql(path, require);
}

interface RawStatement {
  run(...values: unknown[]): { changes: number | bigint };
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
}

interface RawDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): RawStatement;
  close(): unknown;
}

function openNodeSqlite(path: string, require: NodeJS.Require): SqliteConnection | undefined {
  const sqlite = requireQuietly(require, 'node:sqlite');
  if (sqlite === undefined) return undefined;
  const { DatabaseSync } = sqlite as { DatabaseSync: new (path: string) => RawDatabase };
  const database = translated(path, () => new DatabaseSync(path));
  return connection('node:sqlite', path, database, (values) => values);
}

function openLibsql(path: string, require: NodeJS.Require): SqliteConnection {
  let Database: new (path: string) => RawDatabase;
  try {
    Database = require('libsql') as new (path: string) => RawDatabase;
  } catch (error) {
    throw missing('libsql', 'install the optional package `libsql`, or use Node 22.13 or later', error);
  }
  const database = translated(path, () => new Database(path));
  // libsql takes a single null for a missing record of named parameters, so values always travel in an array.
  return connection('libsql', path, database, (values) => [values]);
}

/** Node 22 and 24 call node:sqlite experimental on stderr; a library does not print. */
function requireQuietly(require: NodeJS.Require, name: string): unknown {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return require(name);
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_UNKNOWN_BUILTIN_MODULE') return undefined;
    throw error;
  } finally {
    process.emitWarning = emitWarning;
  }
}

function connection(
  engine: SqliteEngine,
  path: string,
  database: RawDatabase,
  bind: (values: SqlValue[]) => unknown[],
): SqliteConnection {
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
    engine,
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

function translated<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw classify(error, path);
  }
}

/** Primary result codes of SQLite (https://sqlite.org/rescode.html); the engines report them in different fields. */
function classify(error: unknown, path: string): Error {
  const shape = error as { code?: unknown; rawCode?: unknown; errcode?: unknown; message?: unknown };
  const extended = typeof shape.errcode === 'number' ? shape.errcode : shape.rawCode;
  const primary = typeof extended === 'number' ? extended & 0xff : undefined;
  const text = typeof shape.message === 'string' ? shape.message : String(error);
  const options = { subject: path, cause: error };
  switch (primary) {
    case 5:
    case 6:
      return new StoreError('ERR_STORE_LOCKED', 'the database is locked by another process', options);
    case 13:
      return new StoreError('ERR_NO_SPACE', 'no space left for the database', {
        ...options,
        hint: 'free some space on the file system of the root and try again',
      });
    case 11:
    case 26:
      return new StoreError('ERR_STORE_DAMAGED', `the database is damaged (${text})`, {
        ...options,
        hint: 'copy the root aside, then restore meta.db from a backup',
      });
    case 10:
    case 14:
      return new StoreError('ERR_IO', `the database cannot be read or written (${text})`, options);
    default:
      return error instanceof Error ? error : new Error(text);
  }
}

function missing(subject: string, hint: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MISSING_PREREQUISITE', 'not available in this Node', { subject, hint, cause });
}

/** True for an error that says another process holds the write lock: worth another try. */
export function isLocked(error: unknown): boolean {
  return hasCode(error, 'ERR_STORE_LOCKED');
}
