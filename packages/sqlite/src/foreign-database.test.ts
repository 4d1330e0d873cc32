import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SqliteEngine } from './engines.js';
import { ForeignDatabase } from './foreign-database.js';
import { openSqlite } from './sqlite.js';

const engines: readonly SqliteEngine[] =
  Number(process.versions.node.split('.')[0]) >= 22 ? ['node:sqlite', 'libsql'] : ['libsql'];

describe.each(engines)('a database of a stranger, read by %s', (engine) => {
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'layerstore-sqlite-'));
    path = join(directory, 'database');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  function write(...statements: readonly string[]): void {
    const database = openSqlite(path, engine);
    for (const statement of statements) database.exec(statement);
    database.close();
  }

  test('gives integers of 64 bits exactly, bytes as buffers, text and null', () => {
    write(
      'CREATE TABLE t (a, b, c, d)',
      "INSERT INTO t VALUES (-9223372036854775808, x'00ff', 'text', NULL), (9223372036854775807, x'', '', 0.5)",
    );
    using database = new ForeignDatabase(path, engine);
    expect(database.all('SELECT * FROM t')).toEqual([
      { a: -9223372036854775808n, b: Buffer.from([0, 255]), c: 'text', d: null },
      { a: 9223372036854775807n, b: Buffer.alloc(0), c: '', d: 0.5 },
    ]);
    expect(database.get('SELECT c FROM t WHERE a = ?', -9223372036854775808n)).toEqual({ c: 'text' });
    expect(database.get('SELECT c FROM t WHERE a = ?', 1n)).toBeUndefined();
    expect([...database.columns('t')]).toEqual(['a', 'b', 'c', 'd']);
    expect(database.columns('u').size).toBe(0);
  });

  test('is not changed, and gets no files beside it', () => {
    write('CREATE TABLE t (a)');
    using database = new ForeignDatabase(path, engine);
    expect(database.all('SELECT * FROM t')).toEqual([]);
    for (const statement of ['INSERT INTO t VALUES (1)', 'DELETE FROM t', 'CREATE TABLE u (a)']) {
      expect(() => database.all(statement)).toThrow(expect.objectContaining({ code: 'ERR_STORE_DAMAGED' }));
    }
    expect(database.all('SELECT * FROM t')).toEqual([]);
    expect(readdirSync(directory)).toEqual(['database']);
  });

  test.each([
    ['a view', 'CREATE VIEW v AS SELECT 1'],
    ['a trigger', 'CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END'],
    ['a computed column', 'ALTER TABLE t ADD COLUMN b GENERATED ALWAYS AS (a) VIRTUAL'],
    ['a virtual table', 'CREATE VIRTUAL TABLE f USING fts5(x)'],
    ['a log beside it', 'PRAGMA journal_mode = WAL'],
  ])('is refused with %s', (_, statement) => {
    write('CREATE TABLE t (a)', statement);
    expect(() => new ForeignDatabase(path, engine)).toThrow(expect.objectContaining({ code: 'ERR_STORE_DAMAGED' }));
  });

  test('is refused when it is none, cut short, or not there', () => {
    write('CREATE TABLE t (a)');
    expect(() => new ForeignDatabase(join(directory, 'nothing'), engine)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_FOUND' }),
    );
    writeFileSync(path, 'SQLite format 3\0');
    expect(() => new ForeignDatabase(path, engine)).toThrow(expect.objectContaining({ code: 'ERR_STORE_DAMAGED' }));
  });

  test('says so when it is asked after it was closed', () => {
    write('CREATE TABLE t (a)');
    const database = new ForeignDatabase(path, engine);
    database[Symbol.dispose]();
    expect(() => database.all('SELECT 1')).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });
});
