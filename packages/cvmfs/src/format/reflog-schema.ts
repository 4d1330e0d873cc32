import type { ObjectKind } from './object-reference.js';

/** The tables of `.cvmfsreflog`, schema 1.0: every object that a manifest ever named, for garbage collection. */
export const REFLOG_SCHEMA = '1.0';
export const REFLOG_SCHEMA_REVISION = '0';

export const reflogTables: readonly string[] = [
  'CREATE TABLE refs (hash TEXT, type INTEGER, timestamp INTEGER, CONSTRAINT pk_refs PRIMARY KEY (hash))',
  'CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key))',
];

export type ReflogKind = Extract<ObjectKind, 'catalog' | 'certificate' | 'history' | 'metainfo'>;

/** The column `type`. */
export const reflogTypes: Readonly<Record<ReflogKind, number>> = {
  catalog: 0,
  certificate: 1,
  history: 2,
  metainfo: 3,
};
