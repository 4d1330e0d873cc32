import { rm } from 'node:fs/promises';
import { fromSystemError } from '@layerstore/core';
import { FileLock } from '@layerstore/linux';
import { readPins } from './cache-client.js';
import type { CachePaths } from './cache-paths.js';
import { cachedFiles, type CachedFile } from './cached-files.js';

export interface CleanUpOutcome {
  /** Bytes of all objects afterwards. */
  readonly size: number;
  readonly removedObjects: number;
  readonly removedBytes: number;
}

/**
 * Removes objects when they take more than `limit` bytes, those first whose last use is longest ago, until they take what `target` makes of that. Pinned ones
 * stay. Who has one open can read on.
 * @returns undefined when another process is at it
 * @throws StoreError ERR_IO, ERR_NEEDS_ROOT
 */
export async function cleanUp(
  paths: CachePaths,
  limit: number,
  target: (size: number) => number,
): Promise<CleanUpOutcome | undefined> {
  await using lock = await FileLock.tryAcquire(paths.cleaning);
  if (lock === undefined) return undefined;
  try {
    return await clean(paths, limit, target);
  } catch (error) {
    throw fromSystemError(error, paths.directory);
  }
}

async function clean(paths: CachePaths, limit: number, target: (size: number) => number): Promise<CleanUpOutcome> {
  const files: CachedFile[] = [];
  let size = 0;
  for await (const file of cachedFiles(paths)) {
    files.push(file);
    size += spaceOf(file);
  }
  const pins = await readPins(paths);
  const before = size;
  let removedObjects = 0;
  if (size > limit) {
    const wanted = target(size);
    files.sort((one, other) => one.stats.mtimeMs - other.stats.mtimeMs);
    for (const file of files) {
      if (size <= wanted) break;
      if (pins.has(file.key)) continue;
      await rm(file.path, { force: true });
      size -= spaceOf(file);
      removedObjects += 1;
    }
  }
  return { size, removedObjects, removedBytes: before - size };
}

/** Small files take a block each. */
const BLOCK = 4096;
export const spaceOf = ({ stats }: Pick<CachedFile, 'stats'>): number => Math.ceil(stats.size / BLOCK) * BLOCK;
