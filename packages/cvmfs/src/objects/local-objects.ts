import { closeSync, fstatSync, openSync, statSync, utimesSync, type Stats } from 'node:fs';
import { uptime } from 'node:os';
import { fromSystemError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import type { ObjectReference } from '../format/object-reference.js';
import { CachePaths } from './cache-paths.js';
import type { LocalObject, LocalObjectSource, OpenedObject } from './object-source.js';

/** How exact the time of last use is kept: each change of it is a write to the file system. */
const USE_INTERVAL = 10 * 60_000;

/**
 * The objects of a cache directory.
 *
 * A file appears by a rename, complete and verified, but is not synced: that would cost more than the download. As long as the machine runs, the page
 * cache has it whole, whatever happens to processes. After a power cut it may be damaged; therefore files from before the last boot are not
 * given out here until `ObjectCache.fetch` has compared them with their digest.
 */
export class LocalObjects implements LocalObjectSource {
  readonly #paths: CachePaths;
  readonly #bootedAt = Date.now() - uptime() * 1000;

  /** @param cacheDirectory need not exist */
  constructor(cacheDirectory: string) {
    this.#paths = new CachePaths(cacheDirectory);
  }

  find(object: ObjectReference): LocalObject | undefined {
    const path = this.#paths.object(object);
    const stats = reporting(path, () => statSync(path, { throwIfNoEntry: false }));
    if (stats === undefined || !this.isTrusted(stats, object)) return undefined;
    this.#note(path, stats);
    return { path, size: stats.size };
  }

  open(object: ObjectReference): OpenedObject | undefined {
    const path = this.#paths.object(object);
    return reporting(path, () => {
      let fd: number;
      try {
        fd = openSync(path, 'r');
      } catch (error) {
        if (hasErrno(error, 'ENOENT')) return undefined;
        throw error;
      }
      const stats = fstatSync(fd);
      if (!this.isTrusted(stats, object)) {
        closeSync(fd);
        return undefined;
      }
      this.#note(path, stats);
      return { path, fd, size: stats.size };
    });
  }

  /** Whether a file in the cache needs no comparison with its digest before it is used. */
  isTrusted({ ctimeMs, size }: Stats, object: ObjectReference): boolean {
    return ctimeMs >= this.#bootedAt && (object.size === undefined || object.size === size);
  }

  /** Times of last use decide what a clean-up removes first. */
  #note(path: string, { mtimeMs }: Stats): void {
    const now = Date.now();
    if (now - mtimeMs < USE_INTERVAL) return;
    try {
      utimesSync(path, now / 1000, now / 1000);
    } catch (error) {
      // Cleaned up meanwhile, or a cache that this process may only read.
      if (
        !hasErrno(error, 'ENOENT') &&
        !hasErrno(error, 'EROFS') &&
        !hasErrno(error, 'EPERM') &&
        !hasErrno(error, 'EACCES')
      )
        throw error;
    }
  }
}

function reporting<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
