import { createRequire } from 'node:module';

interface Database {
  exec(sql: string): unknown;
  close(): unknown;
}

/** Opens a database behind the back of layerstore, with the engine that every Node can use. */
export function openSqliteFile(path: string, use: (database: Database) => unknown): void {
  const require = createRequire(new URL('../../packages/store/package.json', import.meta.url));
  const Engine = require('libsql') as new (path: string) => Database;
  const database = new Engine(path);
  try {
    use(database);
  } finally {
    database.close();
  }
}
