import { createRequire } from 'node:module';
import { StoreError } from '@layerstore/core';
import { translated } from './failures.js';

export type SqliteEngine = 'node:sqlite' | 'libsql';
export type SqliteAccess = 'read-write' | 'read-only';

/** What both engines have; they differ in how parameters travel and in how 64-bit integers are asked for. */
export interface RawStatement {
  run(...values: unknown[]): { changes: number | bigint };
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  /** libsql. */
  safeIntegers?(on: boolean): unknown;
  /** node:sqlite. */
  setReadBigInts?(on: boolean): unknown;
}

export interface RawDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): RawStatement;
  close(): unknown;
}

export interface OpenedEngine {
  readonly engine: SqliteEngine;
  readonly database: RawDatabase;
  /** The arguments of a call, as the engine wants them. */
  readonly bind: (values: readonly unknown[]) => unknown[];
}

/**
 * Opens a file with the engine asked for, or with the first that is there.
 * @throws StoreError ERR_MISSING_PREREQUISITE where the engine is not there
 */
export function openEngine(path: string, access: SqliteAccess, engine?: SqliteEngine): OpenedEngine {
  const require = createRequire(import.meta.url);
  if (engine !== 'libsql') {
    const native = openNodeSqlite(path, access, require);
    if (native !== undefined) return native;
    if (engine === 'node:sqlite') throw missing('node:sqlite', 'use Node 22.13 or later');
  }
  return openLibsql(path, access, require);
}

function openNodeSqlite(path: string, access: SqliteAccess, require: NodeJS.Require): OpenedEngine | undefined {
  const sqlite = requireQuietly(require, 'node:sqlite');
  if (sqlite === undefined) return undefined;
  const { DatabaseSync } = sqlite as { DatabaseSync: new (path: string, options: object) => RawDatabase };
  // Engines that do not know `defensive` pass it over.
  const options = access === 'read-only' ? { readOnly: true, defensive: true } : {};
  const database = translated(path, () => new DatabaseSync(path, options));
  return { engine: 'node:sqlite', database, bind: (values) => [...values] };
}

function openLibsql(path: string, access: SqliteAccess, require: NodeJS.Require): OpenedEngine {
  let Database: new (path: string, options: object) => RawDatabase;
  try {
    Database = require('libsql') as new (path: string, options: object) => RawDatabase;
  } catch (error) {
    throw missing('libsql', 'install the optional package `libsql`, or use Node 22.13 or later', error);
  }
  const options = access === 'read-only' ? { readonly: true, fileMustExist: true } : {};
  const database = translated(path, () => new Database(path, options));
  // libsql takes a single null for a missing record of named parameters, so values always travel in an array.
  return { engine: 'libsql', database, bind: (values) => [values] };
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

function missing(subject: string, hint: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MISSING_PREREQUISITE', 'not available in this Node', { subject, hint, cause });
}
