import { StoreError } from '@layerstore/core';
import { ForeignDatabase, type ForeignRow } from '@layerstore/sqlite';
import type { RepositoryLimits } from '../configuration/configuration.js';
import { parseHash } from '../format/content-hash.js';
import { malformed } from '../format/malformed.js';
import type { ObjectReference } from '../format/object-reference.js';
import { hashPath, type PathHash } from '../format/path-hash.js';
import { isEntryPath, pathKey, type PathKey } from './path.js';

/** A catalog that another one names, by the path that it is for. */
export interface NestedReference {
  readonly catalog: ObjectReference;
  readonly kind: 'nested' | 'bind';
}

/**
 * One catalog: the entries of a tree down to the mount points of nested catalogs. Its content was verified by hash, yet whoever signed it
 * may be careless or hostile, so every row is checked.
 */
export class Catalog implements Disposable {
  readonly #database: ForeignDatabase;
  readonly #listing: string;
  readonly #own: string;
  /** The path that it says its root has in its repository; empty for a root catalog. */
  readonly prefix: Buffer;
  readonly nested: ReadonlyMap<PathKey, NestedReference>;
  /** Number of the revision that it was published with; undefined if it does not say. */
  readonly revision: number | undefined;

  /**
   * @param subject leads errors
   * @throws StoreError ERR_NOT_FOUND when the file is gone; ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED
   */
  constructor(
    path: string,
    private readonly subject: string,
    private readonly limits: RepositoryLimits,
  ) {
    this.#database = this.#reading(() => new ForeignDatabase(path));
    try {
      const columns = this.#database.columns('catalog');
      const fields = selectedFields(columns);
      this.#listing = `SELECT ${fields} FROM catalog WHERE parent_1 = ? AND parent_2 = ? LIMIT ${limits.directoryEntries + 1}`;
      this.#own = `SELECT ${fields} FROM catalog WHERE md5path_1 = ? AND md5path_2 = ?`;
      if (!columns.has('md5path_1')) throw malformed(subject, 'it has no table of entries');
      this.prefix = this.#readPrefix();
      this.revision = this.#readRevision();
      this.nested = new Map([...this.#readNested('nested'), ...this.#readNested('bind')]);
    } catch (error) {
      this.#database[Symbol.dispose]();
      throw error;
    }
  }

  /** The rows of a directory. @param path inside the repository that the catalog was made for */
  rowsIn(path: Buffer): ForeignRow[] {
    const { first, second } = hashPath(path);
    const rows = this.#reading(() => this.#database.all(this.#listing, first, second));
    if (rows.length <= this.limits.directoryEntries) return rows;
    throw new StoreError('ERR_LIMIT_EXCEEDED', `a directory of more than ${this.limits.directoryEntries} entries`, {
      subject: this.subject,
    });
  }

  rowOf(path: Buffer): ForeignRow | undefined {
    const { first, second } = hashPath(path);
    return this.#reading(() => this.#database.get(this.#own, first, second));
  }

  /** The chunks of a file as rows `offset`, `size`, `hash`, in the order of the file. */
  chunkRows({ first, second }: PathHash): ForeignRow[] {
    const limit = this.limits.chunks;
    const sql = `SELECT offset, size, hash FROM chunks WHERE md5path_1 = ? AND md5path_2 = ? ORDER BY offset LIMIT ${limit + 1}`;
    const rows = this.#reading(() => this.#database.all(sql, first, second));
    if (rows.length <= limit) return rows;
    throw new StoreError('ERR_LIMIT_EXCEEDED', `a file of more than ${limit} chunks`, { subject: this.subject });
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  #readPrefix(): Buffer {
    const prefix = this.#property('root_prefix') ?? Buffer.alloc(0);
    if (!isEntryPath(prefix)) throw malformed(this.subject, 'its root has no path inside the repository');
    return prefix;
  }

  #readRevision(): number | undefined {
    const text = this.#property('revision')?.toString('latin1') ?? '';
    return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  #property(key: string): Buffer | undefined {
    if (this.#database.columns('properties').size === 0) return undefined;
    const sql = 'SELECT CAST(value AS BLOB) AS value FROM properties WHERE key = ?';
    const value = this.#reading(() => this.#database.get(sql, key))?.['value'];
    return Buffer.isBuffer(value) ? value : undefined;
  }

  #readNested(kind: NestedReference['kind']): [PathKey, NestedReference][] {
    const table = kind === 'nested' ? 'nested_catalogs' : 'bind_mountpoints';
    const columns = this.#database.columns(table);
    if (columns.size === 0) return [];
    const size = columns.has('size') ? 'size' : 'NULL AS size';
    const limit = this.limits.nestedCatalogs;
    const sql = `SELECT CAST(path AS BLOB) AS path, CAST(sha1 AS TEXT) AS sha1, ${size} FROM ${table} LIMIT ${limit + 1}`;
    const rows = this.#reading(() => this.#database.all(sql));
    if (rows.length > limit) {
      throw new StoreError('ERR_LIMIT_EXCEEDED', `it names more than ${limit} nested catalogs`, {
        subject: this.subject,
      });
    }
    return rows.map((row) => this.#nestedReference(row, kind));
  }

  /** A catalog has a say only over what is below its own root. */
  #nestedReference({ path, sha1, size }: ForeignRow, kind: NestedReference['kind']): [PathKey, NestedReference] {
    const hash = typeof sha1 === 'string' ? parseHash(sha1) : undefined;
    if (hash === undefined) throw malformed(this.subject, 'it names a nested catalog by what is not a hash');
    const isBelow =
      Buffer.isBuffer(path) &&
      path.length > this.prefix.length + 1 &&
      path.subarray(0, this.prefix.length).equals(this.prefix) &&
      isEntryPath(path) &&
      path[this.prefix.length] === 0x2f;
    if (!isBelow) {
      const shown = Buffer.isBuffer(path) ? path.toString('utf8') : '';
      throw malformed(this.subject, `it claims a nested catalog outside its own tree (${shown})`);
    }
    // Old publishers write no size, and some a zero.
    const known = typeof size === 'bigint' && size > 0n && size <= BigInt(this.limits.catalogSize);
    if (typeof size === 'bigint' && size > BigInt(this.limits.catalogSize)) {
      throw new StoreError('ERR_LIMIT_EXCEEDED', `it names a catalog of ${size.toString()} bytes`, {
        subject: this.subject,
      });
    }
    const catalog: ObjectReference = {
      kind: 'catalog',
      hash,
      compression: 'zlib',
      size: known ? Number(size) : undefined,
    };
    return [pathKey(path), { catalog, kind }];
  }

  #reading<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!StoreError.is(error) || error.code !== 'ERR_STORE_DAMAGED') throw error;
      throw malformed(this.subject, 'its database cannot be read', error);
    }
  }
}

/** Columns that came with later schemas; catalogs of older ones lack them. */
function selectedFields(columns: ReadonlySet<string>): string {
  const optional = (name: string): string => (columns.has(name) ? name : `NULL AS ${name}`);
  return [
    'rowid',
    'md5path_1',
    'hardlinks',
    'hash',
    'size',
    'mode',
    'mtime',
    optional('mtimens'),
    'flags',
    'CAST(name AS BLOB) AS name',
    'CAST(symlink AS BLOB) AS symlink',
    optional('uid'),
    optional('gid'),
    optional('xattr'),
  ].join(', ');
}
