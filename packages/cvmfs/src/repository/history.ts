import { StoreError } from '@layerstore/core';
import { ForeignDatabase } from '@layerstore/sqlite';
import { parseHash } from '../format/content-hash.js';
import type { Tag } from '../format/history-schema.js';
import { malformed } from '../format/malformed.js';

const TAG_LIMIT = 100_000;

/**
 * Reads the tags of a history database, newest revision first.
 * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED
 */
export function readTags(path: string, subject: string): Tag[] {
  try {
    using database = new ForeignDatabase(path);
    const columns = database.columns('tags');
    const optional = (name: string): string => (columns.has(name) ? name : `NULL AS ${name}`);
    const text = (name: string): string => (columns.has(name) ? `CAST(${name} AS TEXT) AS ${name}` : `NULL AS ${name}`);
    const fields = ['name', 'hash', 'description', 'branch'].map(text);
    const numbers = ['revision', 'timestamp', 'size'].map(optional);
    const rows = database.all(
      `SELECT ${[...fields, ...numbers].join(', ')} FROM tags ORDER BY revision DESC, name LIMIT ${TAG_LIMIT + 1}`,
    );
    if (rows.length > TAG_LIMIT) throw new StoreError('ERR_LIMIT_EXCEEDED', `more than ${TAG_LIMIT} tags`, { subject });
    return rows.map(({ name, hash, revision, timestamp, description, branch, size }) => {
      const rootCatalog = typeof hash === 'string' ? parseHash(hash) : undefined;
      if (typeof name !== 'string' || name === '' || rootCatalog === undefined)
        throw malformed(subject, 'a tag names no revision');
      const knownSize = Number(size ?? 0);
      return {
        name,
        rootCatalog,
        rootCatalogSize: Number.isSafeInteger(knownSize) && knownSize > 0 ? knownSize : undefined,
        revision: Number(revision ?? 0),
        timestamp: Number(timestamp ?? 0),
        description: typeof description === 'string' ? description : '',
        branch: typeof branch === 'string' ? branch : '',
      };
    });
  } catch (error) {
    if (!StoreError.is(error) || error.code !== 'ERR_STORE_DAMAGED') throw error;
    throw malformed(subject, 'its history cannot be read', error);
  }
}
