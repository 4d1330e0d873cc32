/**
 * Which files of repositories programs read when they started on an image: fetched ahead the next time.
 *
 * ```
 * <state>/thin/starts/<id>    of the image whose uppermost layer it is: paths, by repository
 * ```
 *
 * A list is a hint: what is not there any more is passed over, and a list that cannot be read is none.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { isLayerId, parseLayerId, type LayerId } from '@layerstore/core';
import { replaceFile } from '@layerstore/linux';
import { listOptional, readOptional } from '../home/optional-file.js';

/** Paths below the roots of repositories, by their names. */
export type AccessLists = Readonly<Record<string, readonly string[]>>;

const shape = v.record(v.string(), v.array(v.string()));

export class RecordedStarts {
  readonly #directory: string;

  constructor(state: string) {
    this.#directory = join(state, 'thin', 'starts');
  }

  read(id: LayerId): AccessLists {
    try {
      return v.parse(shape, JSON.parse(readOptional(this.#file(id)) ?? '{}'));
    } catch {
      return {};
    }
  }

  write(id: LayerId, lists: AccessLists): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    replaceFile(this.#file(id), JSON.stringify(lists));
  }

  forget(id: LayerId): void {
    rmSync(this.#file(id), { force: true });
  }

  /** Drops the lists of layers that are gone. */
  keepOnly(exists: (id: LayerId) => boolean): void {
    for (const { name } of listOptional(this.#directory)) if (isLayerId(name) && !exists(name)) this.forget(name);
  }

  #file(id: LayerId): string {
    return join(this.#directory, parseLayerId(id));
  }
}
