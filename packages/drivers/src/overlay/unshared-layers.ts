/**
 * Base layers whose files no other layer shares yet, so that they can still be written through their view.
 *
 * ```
 * <home>/.layerstore/unshared/<id>   empty
 * ```
 *
 * A layer of which nothing is known takes no writes: where the record is lost, and in a home that an engine has filled, nothing
 * is ever changed under a layer that shares it.
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, type LayerId } from '@layerstore/core';
import { syncDirectory } from '@layerstore/linux';
import { listOptional } from '../home/optional-file.js';

/** Its name in the state directory. */
export const unsharedDirectory = 'unshared';

export class UnsharedLayers {
  readonly #path: string;

  constructor(state: string) {
    this.#path = join(state, unsharedDirectory);
  }

  has(id: LayerId): boolean {
    return existsSync(join(this.#path, id));
  }

  add(id: LayerId): void {
    mkdirSync(this.#path, { recursive: true, mode: 0o700 });
    closeSync(openSync(join(this.#path, id), 'a', 0o600));
  }

  /** Durable: a layer that is shared once is so for good. */
  drop(id: LayerId): void {
    if (!this.has(id)) return;
    rmSync(join(this.#path, id), { force: true });
    syncDirectory(this.#path);
  }

  /** Drops the records of layers that are gone. */
  sweep(exists: (id: LayerId) => boolean): void {
    for (const { name } of listOptional(this.#path)) {
      if (isLayerId(name) && !exists(name)) rmSync(join(this.#path, name), { force: true });
    }
  }
}
