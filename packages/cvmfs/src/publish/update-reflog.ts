import { readFileSync, writeFileSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import { ForeignDatabase } from '@layerstore/sqlite';
import { formatHash, hashBytes, isSameHash, type ContentHash } from '../format/content-hash.js';
import { malformed } from '../format/malformed.js';
import type { Manifest } from '../format/manifest.js';
import {
  REFLOG_SCHEMA,
  REFLOG_SCHEMA_REVISION,
  reflogTables,
  reflogTypes,
  type ReflogKind,
} from '../format/reflog-schema.js';
import { openUnshared } from './open-unshared.js';

/** An object that a manifest names. */
export interface ReflogEntry {
  readonly kind: ReflogKind;
  readonly hash: ContentHash;
}

/** What the manifest itself names. */
export function entriesOf({ rootCatalog, certificate, history, metainfo }: Omit<Manifest, 'reflog'>): ReflogEntry[] {
  return [
    { kind: 'catalog', hash: rootCatalog },
    { kind: 'certificate', hash: certificate },
    ...(history === undefined ? [] : [{ kind: 'history', hash: history } as const]),
    ...(metainfo === undefined ? [] : [{ kind: 'metainfo', hash: metainfo } as const]),
  ];
}

/**
 * Makes the next reflog: the one so far with what the new manifest names.
 * @param path where it is written; nothing is there
 * @param previous bytes of the reflog so far; undefined where there is none
 * @param timestamp seconds since 1970
 * @throws StoreError ERR_MALFORMED_REPOSITORY when the reflog is not the one of the manifest in force
 */
export function updateReflog(
  path: string,
  repository: string,
  previous: Buffer | undefined,
  head: Manifest | undefined,
  added: readonly ReflogEntry[],
  timestamp: number,
): Buffer {
  if (previous !== undefined) {
    writeFileSync(path, previous, { flag: 'wx', mode: 0o600 });
    if (head !== undefined) checkReflog(path, previous, head);
  }
  const database = openUnshared(path);
  try {
    if (previous === undefined) {
      for (const statement of reflogTables) database.exec(statement);
      const properties = { schema: REFLOG_SCHEMA, schema_revision: REFLOG_SCHEMA_REVISION, fqrn: repository };
      for (const [key, value] of Object.entries(properties)) {
        database.prepare('INSERT INTO properties VALUES (?, ?)').run(key, value);
      }
    }
    const inherited = previous === undefined && head !== undefined ? entriesOf(head) : [];
    for (const { kind, hash } of [...inherited, ...added]) {
      database
        .prepare('INSERT OR IGNORE INTO refs VALUES (?, ?, ?)')
        .run(formatHash(hash), reflogTypes[kind], timestamp);
    }
    database.exec('COMMIT');
  } finally {
    database.close();
  }
  return readFileSync(path);
}

/**
 * A publisher that was killed between reflog and manifest has left a longer reflog than the manifest knows: it may name objects that are not
 * in force, but never lacks one that is.
 */
function checkReflog(path: string, bytes: Buffer, head: Manifest): void {
  try {
    using database = new ForeignDatabase(path);
    if (head.reflog !== undefined && isSameHash(hashBytes(head.reflog.algorithm, bytes), head.reflog)) return;
    const named = database.all(
      'SELECT CAST(hash AS TEXT) AS hash FROM refs WHERE hash = ?',
      formatHash(head.rootCatalog),
    );
    if (named.length > 0) return;
  } catch (error) {
    if (!StoreError.is(error) || error.code !== 'ERR_STORE_DAMAGED') throw error;
    throw malformed(`${head.name}: reflog`, 'it cannot be read', error);
  }
  throw malformed(`${head.name}: reflog`, 'it does not name the revision in force');
}
