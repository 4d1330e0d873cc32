/**
 * Layers that are being made or removed, which takes a step in each of three directories.
 *
 * ```
 * <home>/.layerstore/changing/<id>   held while it lasts; has content once something may be left behind
 * ```
 *
 * A layer exists when `layers/<id>` does; that file is made last and removed first. What a dead process leaves in `diff/` and
 * `mnt/` of a layer that does not exist is rubbish, but only where it was noted here: a directory that somebody else has
 * left there may be the last copy of something.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, hasCode, isLayerId, parseLayerId, type LayerId } from '@layerstore/core';
import { FileLock, syncFile } from '@layerstore/linux';
import { listOptional, readOptional } from '../home/optional-file.js';

export class LayerChanges {
  readonly #directory: string;

  constructor(home: string) {
    this.#directory = join(home, '.layerstore', 'changing');
  }

  /** Waits until nobody else makes or removes the layer. @throws StoreError ERR_NO_SPACE, ERR_IO */
  async begin(id: LayerId): Promise<LayerChange> {
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromSystemError(error, this.#directory);
    }
    const path = join(this.#directory, parseLayerId(id));
    return new LayerChange(path, await FileLock.acquire(path));
  }

  /**
   * The same for a layer that is going to be removed, noted already. `undefined` on a full file system, where removing must
   * work all the same: what a process leaves that dies then is found by nobody.
   */
  async beginRemoval(id: LayerId): Promise<LayerChange | undefined> {
    try {
      const change = await this.begin(id);
      try {
        change.note();
        return change;
      } catch (error) {
        await change[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      if (hasCode(error, 'ERR_NO_SPACE')) return undefined;
      throw error;
    }
  }

  /** Calls `finish` for each layer whose change was interrupted. */
  async sweep(finish: (id: LayerId) => Promise<void>): Promise<void> {
    for (const { name } of listOptional(this.#directory)) {
      const path = join(this.#directory, name);
      const lock = await FileLock.tryAcquire(path);
      if (lock === undefined) continue;
      await using change = new LayerChange(path, lock);
      if (isLayerId(name) && change.isNoted) await finish(name);
    }
  }
}

/** The lock on one layer's change; disposing of it says that nothing is left behind. */
export class LayerChange implements AsyncDisposable {
  constructor(
    private readonly path: string,
    private readonly lock: FileLock,
  ) {}

  get isNoted(): boolean {
    return readOptional(this.path) !== '';
  }

  /** From now on, whatever stands under the layer's name goes if the layer does not exist. Durable. */
  note(): void {
    try {
      writeFileSync(this.path, 'changing\n');
      syncFile(this.path);
      syncFile(join(this.path, '..'));
    } catch (error) {
      throw fromSystemError(error, this.path);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.lock.remove();
    return Promise.resolve();
  }
}
