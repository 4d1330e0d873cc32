import { openSqlite, type SqliteConnection } from '@layerstore/sqlite';

/**
 * Opens or makes a database that nobody else sees before it is whole, inside a transaction: it is neither journalled nor synced. Pages have
 * 1024 bytes, as in those of the standard tools.
 */
export function openUnshared(path: string): SqliteConnection {
  const database = openSqlite(path);
  for (const setting of ['page_size = 1024', 'synchronous = OFF', 'journal_mode = OFF']) {
    database.prepare(`PRAGMA ${setting}`).all();
  }
  database.exec('BEGIN');
  return database;
}
