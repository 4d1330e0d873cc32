/** Collecting what dead processes left: staging directories, pending home directories, unreferenced files, old locks. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, isLayerId, parseDigest } from '@layerstore/core';
import { FileLock } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import { deletePending, pendingOwners } from '../layers/pending.js';
import { Staging } from '../staging.js';

export interface Leftovers {
  /** Staging directories of dead processes. */
  readonly staging: number;
  /** Home directories of dead processes. */
  readonly directories: number;
  /** Blob and tar-split files without a record. */
  readonly files: number;
  readonly bytes: number;
}

/**
 * Deletes everything that no living process and no record needs. Safe at any time, beside any other process.
 * Cost: a listing of staging, locks and blobs, and what is deleted.
 */
export async function collectLeftovers(context: StoreContext): Promise<Leftovers> {
  const owners = new Set([...Staging.list(context.paths), ...pendingOwners(context.database)]);
  let staging = 0;
  let directories = 0;
  for (const id of owners) {
    await using taken = await Staging.takeOver(context.paths, id);
    if (taken === undefined) continue;
    if (existsSync(taken.path)) staging += 1;
    directories += await deletePendingIfFree(context, id);
  }
  const files = await collectFiles(context);
  await collectLocks(context);
  return { staging, directories, ...files };
}

/** A directory that is still mounted, by a process outside layerstore, stays pending until the mount is gone. */
async function deletePendingIfFree(context: StoreContext, id: string): Promise<number> {
  try {
    return await deletePending(context, id);
  } catch (error) {
    if (!hasCode(error, 'ERR_BUSY')) throw error;
    context.logger.warn({ error, staging: id }, 'a leftover directory is in use');
    return 0;
  }
}

/** Files enter these directories only inside a write transaction, so inside one, a file without a record is garbage. */
async function collectFiles(context: StoreContext): Promise<{ files: number; bytes: number }> {
  const { database, paths } = context;
  return database.write(() => {
    let files = 0;
    let bytes = 0;
    const drop = (path: string): void => {
      bytes += statSync(path).size;
      rmSync(path);
      files += 1;
    };
    const known = new Set(
      database
        .prepare('SELECT digest FROM blobs')
        .all()
        .map((row) => String(row['digest'])),
    );
    for (const name of readdirSync(paths.blobs)) {
      if (/^[0-9a-f]{64}$/.test(name) && !known.has(parseDigest(`sha256:${name}`))) drop(join(paths.blobs, name));
    }
    const records = database.prepare('SELECT cache_id FROM layers UNION SELECT cache_id FROM pending').all();
    const directories = new Set(records.map((row) => String(row['cache_id'])));
    for (const name of readdirSync(paths.tarSplit)) {
      if (!directories.has(name.replace(/\.gz$/, ''))) drop(join(paths.tarSplit, name));
    }
    return { files, bytes };
  });
}

/** Lock files of layers and containers are left in place while in use and cost nothing but a name afterwards. */
async function collectLocks(context: StoreContext): Promise<void> {
  for (const name of readdirSync(context.paths.locks)) {
    if (name === 'root' || !isLayerId(name)) continue;
    const lock = await FileLock.tryAcquire(join(context.paths.locks, name));
    lock?.remove();
  }
}
