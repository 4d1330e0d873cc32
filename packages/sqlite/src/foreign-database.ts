import { closeSync, openSync, readSync } from 'node:fs';
import { fromSystemError, StoreError } from '@layerstore/core';
import { openEngine, type OpenedEngine, type RawStatement, type SqliteEngine } from './engines.js';

/** An integer is a bigint whatever its size, text a string, a blob a Buffer. */
export type ForeignValue = bigint | number | string | Buffer | null;
export type ForeignRow = Readonly<Record<string, ForeignValue>>;

/** More names than any schema that we read has; a hostile one shall not cost memory. */
const SCHEMA_LIMIT = 200;
const HEADER_LENGTH = 100;
const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');

/**
 * A database that a stranger wrote, opened for reading only.
 *
 * Views, triggers, virtual tables and generated columns are programs of the stranger, which a harmless SELECT would run
 * (https://sqlite.org/security.html): a database that has any is refused. So is one in WAL mode, for which SQLite would make files
 * beside it.
 */
export class ForeignDatabase implements Disposable {
  readonly #opened: OpenedEngine;
  readonly #statements = new Map<string, RawStatement>();
  readonly #columns = new Map<string, ReadonlySet<string>>();
  #closed = false;

  /**
   * @throws StoreError ERR_STORE_DAMAGED for what is no such database
   * @throws StoreError ERR_NOT_FOUND, ERR_IO when the file cannot be read
   * @throws StoreError ERR_MISSING_PREREQUISITE where no engine is there
   */
  constructor(
    readonly path: string,
    engine?: SqliteEngine,
  ) {
    checkHeader(path);
    this.#opened = openEngine(path, 'read-only', engine);
    try {
      for (const setting of ['trusted_schema=OFF', 'query_only=ON', 'cell_size_check=ON', 'mmap_size=0']) {
        this.#raw(`PRAGMA ${setting}`).all();
      }
      this.#readSchema();
    } catch (error) {
      this[Symbol.dispose]();
      throw this.#refusal(error);
    }
  }

  /** Columns of a table; none for a table that is not there. Known without a query. */
  columns(table: string): ReadonlySet<string> {
    return this.#columns.get(table) ?? new Set();
  }

  /** Statements are compiled once per text and kept. @throws StoreError ERR_STORE_DAMAGED */
  all(sql: string, ...values: readonly (string | bigint | number)[]): ForeignRow[] {
    return this.#ask(sql, (statement, bound) => statement.all(...bound) as Record<string, unknown>[], values).map(
      ownRow,
    );
  }

  /** The first row, for questions that have few. @throws StoreError ERR_STORE_DAMAGED */
  get(sql: string, ...values: readonly (string | bigint | number)[]): ForeignRow | undefined {
    // The `get` of libsql adds a column of its own.
    return this.all(sql, ...values)[0];
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#statements.clear();
    this.#opened.database.close();
  }

  #ask<T>(
    sql: string,
    question: (statement: RawStatement, bound: unknown[]) => T,
    values: readonly (string | bigint | number)[],
  ): T {
    if (this.#closed) throw new StoreError('ERR_CLOSED', 'the database is closed', { subject: this.path });
    try {
      let statement = this.#statements.get(sql);
      if (statement === undefined) {
        statement = this.#raw(sql);
        this.#statements.set(sql, statement);
      }
      return question(statement, this.#opened.bind(values));
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  #raw(sql: string): RawStatement {
    const statement = this.#opened.database.prepare(sql);
    if (statement.safeIntegers !== undefined) statement.safeIntegers(true);
    else statement.setReadBigInts?.(true);
    return statement;
  }

  #readSchema(): void {
    const objects = this.#raw(`SELECT type, name, sql FROM sqlite_schema LIMIT ${SCHEMA_LIMIT + 1}`).all(
      ...this.#opened.bind([]),
    ) as { type: unknown; name: unknown; sql: unknown }[];
    if (objects.length > SCHEMA_LIMIT) throw this.#damaged(`more than ${SCHEMA_LIMIT} tables and indexes`);
    for (const { type, name, sql } of objects) {
      const isPlain = (type === 'table' && !isVirtual(sql)) || type === 'index';
      if (!isPlain || typeof name !== 'string') throw this.#damaged('it holds more than tables and indexes');
      if (type === 'table') this.#columns.set(name, this.#readColumns(name));
    }
  }

  #readColumns(table: string): ReadonlySet<string> {
    const rows = this.#raw('SELECT name, hidden FROM pragma_table_xinfo(?)').all(...this.#opened.bind([table])) as {
      name: unknown;
      hidden: unknown;
    }[];
    if (rows.some(({ hidden }) => Number(hidden) !== 0)) throw this.#damaged('it computes columns');
    return new Set(rows.map(({ name }) => String(name)));
  }

  #refusal(error: unknown): StoreError {
    if (StoreError.is(error)) return error;
    return this.#damaged(error instanceof Error ? error.message : String(error), error);
  }

  #damaged(reason: string, cause?: unknown): StoreError {
    return new StoreError('ERR_STORE_DAMAGED', `not a database that can be read: ${reason}`, {
      subject: this.path,
      cause,
    });
  }
}

function isVirtual(sql: unknown): boolean {
  return typeof sql !== 'string' || /^\s*CREATE\s+VIRTUAL/i.test(sql);
}

/** Format of the header: https://sqlite.org/fileformat.html, section 1.3. Version 1 is a rollback journal, 2 is WAL. */
function checkHeader(path: string): void {
  const header = Buffer.alloc(HEADER_LENGTH);
  let read: number;
  try {
    const fd = openSync(path, 'r');
    try {
      read = readSync(fd, header, 0, HEADER_LENGTH, 0);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw fromSystemError(cause, path);
    throw new StoreError('ERR_NOT_FOUND', 'no such file', { subject: path, cause });
  }
  const isDatabase = read === HEADER_LENGTH && header.subarray(0, MAGIC.length).equals(MAGIC);
  if (isDatabase && header[18] === 1 && header[19] === 1) return;
  const reason = isDatabase ? 'it wants a log beside it' : 'it does not begin as SQLite files do';
  throw new StoreError('ERR_STORE_DAMAGED', `not a database that can be read: ${reason}`, { subject: path });
}

/** The engines give blobs as ArrayBuffer or as Uint8Array. */
function ownRow(row: Record<string, unknown>): ForeignRow {
  const own: Record<string, ForeignValue> = {};
  for (const key of Object.keys(row)) {
    const value = row[key];
    if (value instanceof ArrayBuffer) own[key] = Buffer.from(value);
    else if (value instanceof Uint8Array) own[key] = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    else own[key] = value as ForeignValue;
  }
  return own;
}
