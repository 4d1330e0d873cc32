import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError, throwIfAborted } from '@layerstore/core';
import { isLocked, type SqliteConnection } from '@layerstore/sqlite';

/** Runs `action` in one BEGIN IMMEDIATE transaction; any throw rolls back. Fails at once when another process writes. */
export function writeImmediately<T>(connection: SqliteConnection, action: () => T): T {
  connection.exec('BEGIN IMMEDIATE');
  return finish(connection, action);
}

/** Runs `action` on one consistent snapshot. */
export function readConsistently<T>(connection: SqliteConnection, action: () => T): T {
  connection.exec('BEGIN');
  return finish(connection, action);
}

function finish<T>(connection: SqliteConnection, action: () => T): T {
  let result: T;
  try {
    result = action();
    connection.prepare('COMMIT').run();
  } catch (error) {
    rollback(connection, error);
    throw error;
  }
  return result;
}

/** A full disk or an I/O error makes SQLite roll back by itself; the ROLLBACK then fails, and the first error counts. */
function rollback(connection: SqliteConnection, reason: unknown): void {
  try {
    connection.exec('ROLLBACK');
  } catch (error) {
    if (reason instanceof Error && reason.cause === undefined) reason.cause = error;
  }
}

/**
 * Like {@link writeImmediately}, waiting for other writers without blocking the event loop.
 * @throws StoreError ERR_STORE_LOCKED after `timeoutMs`, ERR_ABORTED
 */
export async function writeWhenFree<T>(
  connection: SqliteConnection,
  timeoutMs: number,
  action: () => T,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    throwIfAborted(signal);
    try {
      connection.prepare('BEGIN IMMEDIATE').run();
    } catch (error) {
      if (!isLocked(error)) throw error;
      if (Date.now() > deadline) {
        throw new StoreError('ERR_STORE_LOCKED', `the database was locked for more than ${timeoutMs} ms`, {
          cause: error,
          hint: 'see which process works on this root (`fuser -v <root>/meta.db`) and try again',
        });
      }
      await sleep(pause / 2 + (Math.random() * pause) / 2);
      continue;
    }
    return finish(connection, action);
  }
}
