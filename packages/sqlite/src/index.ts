export type { SqliteEngine } from './engines.js';
export { isLocked } from './failures.js';
export { ForeignDatabase, type ForeignRow, type ForeignValue } from './foreign-database.js';
export * from './sqlite.js';
