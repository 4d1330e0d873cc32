import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasErrno } from '@layerstore/linux';
import type { CachePaths } from './cache-paths.js';

/** A file of the cache, by what its name says. */
export interface CachedFile {
  /** Content key of the object. */
  readonly key: string;
  readonly path: string;
  readonly stats: Stats;
}

/** Walks over all objects of a cache directory: one status per file. Files that vanish meanwhile are passed over. */
export async function* cachedFiles({ objects }: CachePaths): AsyncGenerator<CachedFile, void> {
  for (const folder of await namesIn(objects)) {
    for (const rest of await namesIn(join(objects, folder))) {
      const path = join(objects, folder, rest);
      const stats = await statIfPresent(path);
      if (stats?.isFile() === true) yield { key: folder + rest, path, stats };
    }
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function statIfPresent(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
