import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, isLayerId, randomId } from '@layerstore/core';
import { FileLock, removeTree } from '@layerstore/linux';
import type { RootPaths } from './root.js';

/**
 * A directory for work in progress, locked from before its birth until after its end: whoever can take the lock knows
 * that its maker is dead and that everything in it can go. kill -9 frees the lock in the kernel.
 *
 * The lock's file lies in `locks/`, not in the directory, so there is no moment at which the directory exists unlocked.
 */
export class Staging implements AsyncDisposable {
  private constructor(
    readonly id: string,
    readonly path: string,
    private readonly lock: FileLock,
  ) {}

  /** @throws StoreError ERR_NO_SPACE, ERR_IO */
  static async create(paths: RootPaths): Promise<Staging> {
    const id = randomId().slice(0, 32);
    const lock = await FileLock.acquire(lockPath(paths, id));
    const path = join(paths.staging, id);
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      lock.remove();
      throw fromSystemError(error, path);
    }
    return new Staging(id, path, lock);
  }

  /**
   * Opens the staging of a well-known id, with what an earlier one left in it; `undefined` while somebody works in it.
   * @throws StoreError ERR_NO_SPACE, ERR_IO
   */
  static async reopen(paths: RootPaths, id: string): Promise<Staging | undefined> {
    const lock = await FileLock.tryAcquire(lockPath(paths, id));
    if (lock === undefined) return undefined;
    const path = join(paths.staging, id);
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      lock.remove();
      throw fromSystemError(error, path);
    }
    return new Staging(id, path, lock);
  }

  /** Takes over what a dead process left under `id`; `undefined` while its maker lives. The directory may be gone already. */
  static async takeOver(paths: RootPaths, id: string): Promise<Staging | undefined> {
    if (!isLayerId(id)) return undefined;
    const lock = await FileLock.tryAcquire(lockPath(paths, id));
    return lock === undefined ? undefined : new Staging(id, join(paths.staging, id), lock);
  }

  /** The ids that have a directory or a lock file. */
  static list(paths: RootPaths): string[] {
    const locks = readdirSync(paths.locks).filter((name) => name.startsWith(prefix));
    return [...new Set([...readdirSync(paths.staging), ...locks.map((name) => name.slice(prefix.length))])];
  }

  /** True when nobody holds its lock. */
  static async isAbandoned(paths: RootPaths, id: string): Promise<boolean> {
    await using lock = isLayerId(id) ? await FileLock.tryAcquire(lockPath(paths, id)) : undefined;
    return lock !== undefined;
  }

  static pathOf(paths: RootPaths, id: string): string {
    return join(paths.staging, id);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Ends the work but leaves the directory, for {@link reopen} or for whoever collects what is abandoned. */
  leave(): void {
    this.lock.release();
  }

  /** Deletes the directory with all that is left in it, then the lock. */
  [Symbol.asyncDispose](): Promise<void> {
    if (existsSync(this.path)) removeTree(this.path);
    this.lock.remove();
    return Promise.resolve();
  }
}

const prefix = 'staging-';

function lockPath(paths: RootPaths, id: string): string {
  return join(paths.locks, `${prefix}${id}`);
}
