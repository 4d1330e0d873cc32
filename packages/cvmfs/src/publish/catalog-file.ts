import { statSync } from 'node:fs';
import { ForeignDatabase, type SqliteConnection } from '@layerstore/sqlite';
import {
  CATALOG_SCHEMA,
  CATALOG_SCHEMA_REVISION,
  catalogTables,
  statisticsCounters,
} from '../format/catalog-schema.js';
import { formatHash, type ContentHash } from '../format/content-hash.js';
import { hashPath, noPath } from '../format/path-hash.js';
import type { StoredObject } from './object-stage.js';
import { addStatistics, countRow, noStatistics, type Statistics } from './statistics.js';
import { openUnshared } from './open-unshared.js';

/** A row to be written. */
export interface CatalogRow {
  /** Absolute; empty for the root of the repository. */
  readonly path: Buffer;
  readonly flags: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; of a device its packed number. */
  readonly size: number | bigint;
  readonly mtimeNs: bigint;
  readonly links: number;
  /** Names of one directory with the same group are one file; 0 for none. */
  readonly linkGroup: number;
  readonly hash: ContentHash | undefined;
  readonly chunks: readonly (StoredObject & { readonly offset: number })[];
  readonly link: Buffer;
  /** As `serialiseExtendedAttributes` makes them. */
  readonly attributes: Buffer | null;
}

/** A catalog that was written: what the one above it, or the manifest, says of it. */
export interface NestedCatalog extends StoredObject {
  /** Of the catalog itself and of everything below it. */
  readonly statistics: Readonly<Statistics>;
}

const SECOND = 1_000_000_000n;
const SLASH = 0x2f;
const INSERT_ROW = `INSERT INTO catalog VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?)`;

/** A catalog's database while it is written. Nobody else sees the file: it is neither journalled nor synced. */
export class CatalogFile implements Disposable {
  readonly #database: SqliteConnection;
  readonly #self: Statistics;
  readonly #subtree: Statistics;
  #closed = false;

  private constructor(
    readonly path: string,
    origin: 'new' | 'published',
  ) {
    this.#database = openUnshared(path);
    if (origin === 'new') for (const statement of catalogTables) this.#database.exec(statement);
    this.#self = this.#readStatistics('self_');
    this.#subtree = this.#readStatistics('subtree_');
  }

  /** @param rootPath absolute path of its root in the repository; empty for the root catalog */
  static create(path: string, rootPath: string): CatalogFile {
    const file = new CatalogFile(path, 'new');
    file.#setProperty('schema', CATALOG_SCHEMA);
    file.#setProperty('schema_revision', CATALOG_SCHEMA_REVISION);
    if (rootPath !== '') file.#setProperty('root_prefix', rootPath);
    return file;
  }

  /** Opens a copy of a published catalog. @throws StoreError ERR_STORE_DAMAGED for what is no plain database */
  static open(path: string): CatalogFile {
    // It was signed, but triggers in it would run with our statements.
    new ForeignDatabase(path)[Symbol.dispose]();
    return new CatalogFile(path, 'published');
  }

  /** The column `flags` of an entry; undefined where there is none. */
  flagsOf(path: Buffer): number | undefined {
    const { first, second } = hashPath(path);
    const row = this.#database
      .prepare('SELECT flags FROM catalog WHERE md5path_1 = ? AND md5path_2 = ?')
      .get(first, second);
    return row === undefined ? undefined : Number(row['flags']);
  }

  insert(row: CatalogRow): void {
    const own = hashPath(row.path);
    const slash = row.path.lastIndexOf(SLASH);
    const parent = row.path.length === 0 ? noPath : hashPath(row.path.subarray(0, slash));
    const nanoseconds = ((row.mtimeNs % SECOND) + SECOND) % SECOND;
    this.#database
      .prepare(INSERT_ROW)
      .run(
        own.first,
        own.second,
        parent.first,
        parent.second,
        (BigInt(row.linkGroup) << 32n) | BigInt(row.links),
        row.hash === undefined ? null : Buffer.from(row.hash.hex, 'hex'),
        BigInt(row.size),
        row.mode,
        (row.mtimeNs - nanoseconds) / SECOND,
        nanoseconds === 0n ? null : nanoseconds,
        row.flags,
        row.path.subarray(slash + 1),
        row.link,
        row.uid,
        row.gid,
        row.attributes,
      );
    for (const { offset, size, hash } of row.chunks) {
      this.#database
        .prepare('INSERT INTO chunks VALUES (?, ?, ?, ?, ?)')
        .run(own.first, own.second, offset, size, Buffer.from(hash.hex, 'hex'));
    }
    const { flags, chunks, attributes } = row;
    countRow(this.#self, { flags, size: Number(row.size), chunks: chunks.length, hasAttributes: attributes !== null });
  }

  /** Counts one more directory among the links of a directory. */
  addDirectoryLink(path: Buffer): void {
    const { first, second } = hashPath(path);
    this.#database
      .prepare('UPDATE catalog SET hardlinks = hardlinks + 1 WHERE md5path_1 = ? AND md5path_2 = ?')
      .run(first, second);
  }

  /** Names a catalog whose mount point was inserted. */
  addNested(path: string, { hash, size, statistics }: NestedCatalog): void {
    this.#database.prepare('INSERT INTO nested_catalogs VALUES (?, ?, ?)').run(path, formatHash(hash), size);
    addStatistics(this.#subtree, statistics);
  }

  /**
   * Writes statistics and properties and closes the file.
   * @param properties further ones, for example `TTL`
   * @returns its statistics with those of the catalogs below it, and bytes of the file
   */
  finish(properties: Readonly<Record<string, string>>): Pick<NestedCatalog, 'size' | 'statistics'> {
    for (const [key, value] of Object.entries(properties)) this.#setProperty(key, value);
    for (const counter of statisticsCounters) {
      this.#setStatistic(`self_${counter}`, this.#self[counter]);
      this.#setStatistic(`subtree_${counter}`, this.#subtree[counter]);
    }
    this.#database.exec('COMMIT');
    this[Symbol.dispose]();
    const statistics = noStatistics();
    addStatistics(statistics, this.#self);
    addStatistics(statistics, this.#subtree);
    return { size: statSync(this.path).size, statistics };
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#database.close();
  }

  #readStatistics(prefix: 'self_' | 'subtree_'): Statistics {
    const statistics = noStatistics();
    for (const counter of statisticsCounters) {
      const row = this.#database.prepare('SELECT value FROM statistics WHERE counter = ?').get(prefix + counter);
      statistics[counter] = Number(row?.['value'] ?? 0);
    }
    return statistics;
  }

  #setProperty(key: string, value: string): void {
    this.#database.prepare('INSERT OR REPLACE INTO properties VALUES (?, ?)').run(key, value);
  }

  #setStatistic(counter: string, value: number): void {
    this.#database.prepare('INSERT OR REPLACE INTO statistics VALUES (?, ?)').run(counter, value);
  }
}
