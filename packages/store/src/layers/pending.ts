/**
 * Directories in the driver home that are being made or deleted. The row comes before the directory and goes after it,
 * so the home never holds anything that the database does not name.
 */
import { rmSync } from 'node:fs';
import { parseLayerId, reachedStep, type LayerId } from '@layerstore/core';
import { tarSplitPath } from '../blobs.js';
import type { StoreContext } from '../context.js';
import type { MetaDatabase } from '../database/meta-database.js';
import type { Staging } from '../staging.js';

/** Inside a transaction: announces a directory that belongs to `staging` for now. */
export function addPending(database: MetaDatabase, cacheId: LayerId, staging: Staging): void {
  database.prepare('INSERT INTO pending VALUES (?, ?)').run(cacheId, staging.id);
}

/** Inside the transaction that publishes the directory, or after it was deleted. */
export function dropPending(database: MetaDatabase, cacheId: LayerId): void {
  database.prepare('DELETE FROM pending WHERE cache_id = ?').run(cacheId);
}

/** {@link dropPending} of one directory and {@link addPending} of another, which takes its place in the order. */
export function replacePending(database: MetaDatabase, cacheId: LayerId, next: LayerId): void {
  database.prepare('UPDATE pending SET cache_id = ?2 WHERE cache_id = ?1').run(cacheId, next);
}

export function pendingOf(database: MetaDatabase, stagingId: string): LayerId[] {
  return database
    .prepare('SELECT cache_id FROM pending WHERE staging = ? ORDER BY rowid DESC')
    .all(stagingId)
    .map((row) => parseLayerId(row['cache_id']));
}

/** The staging ids that own pending directories. */
export function pendingOwners(database: MetaDatabase): string[] {
  return database
    .prepare('SELECT DISTINCT staging FROM pending')
    .all()
    .map((row) => String(row['staging']));
}

/**
 * Deletes the pending directories of a staging, youngest first (children before parents), and their records.
 * Idempotent: a kill in between leaves rows that the next collector takes. @throws StoreError ERR_BUSY
 */
export async function deletePending(context: StoreContext, stagingId: string): Promise<number> {
  const cacheIds = pendingOf(context.database, stagingId);
  if (cacheIds.length === 0) return 0;
  const driver = await context.driver();
  for (const cacheId of cacheIds) {
    await driver.remove(cacheId);
    rmSync(tarSplitPath(context.paths, cacheId), { force: true });
    reachedStep('pending.deleted', cacheId);
  }
  await context.database.write(() => {
    for (const cacheId of cacheIds) dropPending(context.database, cacheId);
  });
  return cacheIds.length;
}
