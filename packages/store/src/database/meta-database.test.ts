import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scratch } from '../../../../test/support/scratch.js';
import { MetaDatabase } from './meta-database.js';
import { schemaVersion, upgradeSchema } from './schema.js';
import { openSqlite, type SqliteEngine } from '@layerstore/sqlite';

const engines: SqliteEngine[] = ['libsql', ...(hasNodeSqlite() ? (['node:sqlite'] as const) : [])];

function hasNodeSqlite(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 13);
}

describe.each(engines)('the database on %s', (engine) => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch('database');
  });
  afterEach(() => scratch[Symbol.dispose]());
  const open = (lockTimeoutMs = 2000): MetaDatabase =>
    MetaDatabase.open(scratch.file('meta.db'), { lockTimeoutMs, engine });
  const settings = (database: MetaDatabase): unknown[] =>
    database
      .prepare('SELECT value FROM settings ORDER BY key')
      .all()
      .map((row) => row['value']);
  const insert = (database: MetaDatabase, key: string): void => {
    database.prepare('INSERT INTO settings VALUES (?, ?)').run(key, key);
  };

  it('survives being written by two connections at once, each waiting for the other', async () => {
    using first = open();
    using second = open();
    const names = Array.from({ length: 40 }, (_, index) => `key-${index}`);
    await Promise.all(
      names.map((name, index) =>
        (index % 2 === 0 ? first : second).write(() => insert(index % 2 === 0 ? first : second, name)),
      ),
    );
    expect(settings(first)).toHaveLength(40);
  });

  it('undoes a transaction whose action throws', async () => {
    using database = open();
    const failing = database.write(() => {
      insert(database, 'half');
      throw new Error('stop here');
    });
    await expect(failing).rejects.toThrow('stop here');
    expect(settings(database)).toEqual([]);
  });

  it('gives up with ERR_STORE_LOCKED when another process holds the write lock for too long', async () => {
    using database = open(30);
    using holder = openConnection();
    holder.connection.exec('BEGIN IMMEDIATE');
    await expect(database.write(() => insert(database, 'late'))).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' });
    holder.connection.exec('ROLLBACK');
  });

  it('stops waiting when it is aborted', async () => {
    using database = open(60_000);
    using holder = openConnection();
    holder.connection.exec('BEGIN IMMEDIATE');
    const waiting = database.write(() => insert(database, 'never'), AbortSignal.timeout(20));
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('reads null, and binds null as a single value', async () => {
    using database = open();
    await database.write(() => {
      database.prepare('CREATE TEMP TABLE empties (value TEXT)').run();
      database.prepare('INSERT INTO empties VALUES (?)').run(null);
    });
    expect(database.prepare('SELECT value FROM empties').get()?.['value']).toBeNull();
  });

  it('refuses a database of a newer layerstore and leaves it as it is', () => {
    open()[Symbol.dispose]();
    using connection = openConnection();
    connection.connection.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'ERR_STORE_VERSION' }));
  });

  it('upgrades an older database in one transaction and keeps a copy of it', () => {
    using old = openConnection('old.db');
    upgradeSchema(old.connection, scratch.file('old.db'), ['CREATE TABLE first (a TEXT)']);
    old.connection.exec(`INSERT INTO first VALUES ('kept')`);
    const steps = ['CREATE TABLE first (a TEXT)', 'CREATE TABLE second (b TEXT)'];
    upgradeSchema(old.connection, scratch.file('old.db'), steps);
    expect(old.connection.prepare('SELECT a FROM first').get()?.['a']).toBe('kept');
    expect(old.connection.prepare('SELECT count(*) AS n FROM second').get()?.['n']).toBe(0);
    using copy = openConnection('old.db.v1');
    expect(copy.connection.prepare('SELECT a FROM first').get()?.['a']).toBe('kept');
  });

  it('leaves the old version in force when an upgrade fails', () => {
    using old = openConnection('old.db');
    upgradeSchema(old.connection, scratch.file('old.db'), ['CREATE TABLE first (a TEXT)']);
    expect(() =>
      upgradeSchema(old.connection, scratch.file('old.db'), ['', 'CREATE TABLE second (b TEXT); NONSENSE']),
    ).toThrow();
    expect(old.connection.prepare('PRAGMA user_version').get()?.['user_version']).toBe(1);
    expect(old.connection.prepare(`SELECT name FROM sqlite_master WHERE name = 'second'`).get()).toBeUndefined();
    expect(existsSync(scratch.file('old.db.v1'))).toBe(true);
  });

  it('answers with ERR_CLOSED after it was closed', () => {
    const database = open();
    database[Symbol.dispose]();
    expect(() => database.prepare('SELECT 1')).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });

  function openConnection(name = 'meta.db'): { connection: ReturnType<typeof openSqlite> } & Disposable {
    const connection = openSqlite(scratch.file(name), engine);
    return { connection, [Symbol.dispose]: () => connection.close() };
  }
});
