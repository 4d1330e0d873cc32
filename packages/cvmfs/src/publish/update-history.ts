import { readFileSync, writeFileSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import { ForeignDatabase, type SqliteConnection } from '@layerstore/sqlite';
import { formatHash, type ContentHash } from '../format/content-hash.js';
import { HISTORY_SCHEMA, HISTORY_SCHEMA_REVISION, historyTables } from '../format/history-schema.js';
import type { StoredObject } from './object-stage.js';
import { openUnshared } from './open-unshared.js';

/** A name for a revision. */
export interface NewTag {
  /** Letters, digits, `.`, `_` and `-`; at most 255. */
  readonly name: string;
  readonly description?: string;
}

export interface HistoryChange {
  readonly repository: string;
  /** The history so far; undefined for a repository that has none. */
  readonly previous: { readonly hash: ContentHash; readonly content: Buffer } | undefined;
  readonly rootCatalog: StoredObject;
  readonly revision: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly tag: NewTag | undefined;
}

/** The tags that every publication moves: the newest revision and the one before it. */
const TRUNK = 'trunk';
const TRUNK_PREVIOUS = 'trunk-previous';

/** @throws StoreError ERR_INVALID_ARGUMENT */
export function checkTag({ name }: NewTag): void {
  if (/^[A-Za-z0-9._-]{1,255}$/.test(name) && name !== TRUNK && name !== TRUNK_PREVIOUS) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the name of a tag', {
    subject: name.slice(0, 255),
    hint: `a tag has letters, digits, \`.\`, \`_\` and \`-\`; ${TRUNK} and ${TRUNK_PREVIOUS} are kept by the publisher`,
  });
}

/**
 * Makes the next history database.
 * @param path where it is written; nothing is there
 * @throws StoreError ERR_EXISTS for a tag that names a revision already
 */
export function updateHistory(path: string, change: HistoryChange): Buffer {
  const { previous, repository } = change;
  if (previous !== undefined) {
    writeFileSync(path, previous.content, { flag: 'wx', mode: 0o600 });
    new ForeignDatabase(path)[Symbol.dispose]();
  }
  const database = openUnshared(path);
  try {
    if (previous === undefined) begin(database, repository);
    setProperty(database, 'previous_revision', previous === undefined ? '0'.repeat(40) : formatHash(previous.hash));
    addTags(database, change);
    database.exec('COMMIT');
  } finally {
    database.close();
  }
  return readFileSync(path);
}

function begin(database: SqliteConnection, repository: string): void {
  for (const statement of historyTables) database.exec(statement);
  database.exec("INSERT INTO branches VALUES ('', NULL, 0)");
  setProperty(database, 'schema', HISTORY_SCHEMA);
  setProperty(database, 'schema_revision', HISTORY_SCHEMA_REVISION);
  setProperty(database, 'fqrn', repository);
}

function addTags(database: SqliteConnection, { rootCatalog, revision, timestamp, tag }: HistoryChange): void {
  database.prepare('DELETE FROM tags WHERE name = ?').run(TRUNK_PREVIOUS);
  database
    .prepare('UPDATE tags SET name = ?, description = ? WHERE name = ?')
    .run(TRUNK_PREVIOUS, 'the revision before the newest', TRUNK);
  const insert = database.prepare("INSERT INTO tags VALUES (?, ?, ?, ?, 0, ?, ?, '')");
  const values = [formatHash(rootCatalog.hash), revision, timestamp] as const;
  insert.run(TRUNK, ...values, 'the newest revision', rootCatalog.size);
  if (tag === undefined) return;
  if (database.prepare('SELECT 1 AS found FROM tags WHERE name = ?').get(tag.name) !== undefined) {
    throw new StoreError('ERR_EXISTS', 'a revision has this tag', { subject: tag.name, hint: 'choose another name' });
  }
  insert.run(tag.name, ...values, tag.description ?? '', rootCatalog.size);
}

function setProperty(database: SqliteConnection, key: string, value: string): void {
  database.prepare('INSERT OR REPLACE INTO properties VALUES (?, ?)').run(key, value);
}
