/**
 * Work in progress on a driver home, in `<home>/.layerstore/`; in the state directory of a read-only home.
 *
 * ```
 * staging/<random>        a layer that is being built, or one that was renamed away to be deleted
 * staging/<random>.lock   held from before the directory exists until after it is gone
 * ```
 *
 * Whoever can take the lock knows that its maker is dead: kill -9 frees it in the kernel.
 */
import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, randomId } from '@layerstore/core';
import { FileLock, hasErrno } from '@layerstore/linux';
import { listOptional } from './optional-file.js';
import type { TreeWork } from './tree-work.js';

const lockSuffix = '.lock';

export class HomeStaging {
  readonly path: string;

  /** @param state the directory for what is layerstore's own, as the driver tells it */
  constructor(
    state: string,
    private readonly trees: Pick<TreeWork, 'remove'>,
  ) {
    this.path = join(state, 'staging');
  }

  /** A new private directory; disposing of it deletes what is left in it. @throws StoreError ERR_NO_SPACE, ERR_IO */
  async enter(): Promise<StagingDirectory> {
    const path = this.#freshPath();
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      const lock = await FileLock.acquire(path + lockSuffix);
      try {
        mkdirSync(path, { mode: 0o700 });
      } catch (error) {
        lock.remove();
        throw error;
      }
      return new StagingDirectory(path, lock, this.trees);
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /**
   * Renames a directory of the home into staging; disposing of it deletes it. Works on a full file system too, without
   * the lock, for which there is no room: another process may then help to delete it.
   * @throws the system's error when the rename fails; the directory is where it was
   */
  async takeIn(directory: string): Promise<StagingDirectory> {
    const path = this.#freshPath();
    const acquire = (): Promise<FileLock> => {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      return FileLock.acquire(path + lockSuffix);
    };
    const lock = await withRoom(path, acquire, undefined);
    try {
      renameSync(directory, path);
    } catch (error) {
      lock?.remove();
      throw error;
    }
    return new StagingDirectory(path, lock, this.trees);
  }

  /**
   * Deletes what dead processes left; `release` first unmounts what is mounted below a directory.
   * @returns the number of directories that went
   */
  async sweep(release: (path: string) => Promise<void>): Promise<number> {
    const ids = new Set(listOptional(this.path).map((entry) => entry.name.replace(/\.lock$/, '')));
    let swept = 0;
    for (const id of ids) {
      const path = join(this.path, id);
      const lock = await withRoom(path, () => FileLock.tryAcquire(path + lockSuffix), 'no room' as const);
      // Its maker lives. Where there is no room to make the lock file, there was none, and nobody holds it.
      if (lock === undefined) continue;
      await using left = new StagingDirectory(path, lock === 'no room' ? undefined : lock, this.trees);
      await release(left.path);
      swept += 1;
    }
    return swept;
  }

  #freshPath(): string {
    return join(this.path, randomId().slice(0, 32));
  }
}

export class StagingDirectory implements AsyncDisposable {
  constructor(
    readonly path: string,
    private readonly lock: FileLock | undefined,
    private readonly trees: Pick<TreeWork, 'remove'>,
  ) {}

  entry(name: string): string {
    return join(this.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!removedEmpty(this.path)) await this.trees.remove(this.path);
    } finally {
      this.lock?.remove();
    }
  }
}

/** After a layer was renamed out, nothing is left: no thread has to be woken for that. */
function removedEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR', 'EBUSY')) return false;
    throw error;
  }
}

/** What `take` gives, or `otherwise` on a full file system. */
async function withRoom<Taken, Otherwise>(
  path: string,
  take: () => Promise<Taken>,
  otherwise: Otherwise,
): Promise<Taken | Otherwise> {
  try {
    return await take();
  } catch (error) {
    const failure = fromSystemError(error, path);
    if (failure.code === 'ERR_NO_SPACE') return otherwise;
    throw failure;
  }
}
