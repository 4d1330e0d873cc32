import type { ContentHash } from './content-hash.js';

/** The tables of a history database, schema 1.0, schema revision 3. */
export const HISTORY_SCHEMA = '1.0';
export const HISTORY_SCHEMA_REVISION = '3';

export const historyTables: readonly string[] = [
  `CREATE TABLE branches (branch TEXT, parent TEXT, initial_revision INTEGER, CONSTRAINT pk_branch PRIMARY KEY (branch),
    FOREIGN KEY (parent) REFERENCES branches (branch), CHECK ((branch <> '') OR (parent IS NULL)),
    CHECK ((branch = '') OR (parent IS NOT NULL)))`,
  `CREATE TABLE tags (name TEXT, hash TEXT, revision INTEGER, timestamp INTEGER, channel INTEGER, description TEXT,
    size INTEGER, branch TEXT, CONSTRAINT pk_tags PRIMARY KEY (name),
    FOREIGN KEY (branch) REFERENCES branches (branch))`,
  'CREATE TABLE recycle_bin (hash TEXT, flags INTEGER, CONSTRAINT pk_hash PRIMARY KEY (hash))',
  'CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key))',
];

/** A named revision of a repository. */
export interface Tag {
  readonly name: string;
  readonly rootCatalog: ContentHash;
  /** Bytes of the root catalog after decompression. */
  readonly rootCatalogSize: number | undefined;
  readonly revision: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly description: string;
  /** Empty for the default branch. */
  readonly branch: string;
}
