/**
 * The records of the layers in an aufs home, as Docker's driver writes them.
 *
 * ```
 * <home>/layers/<id>   0644, the ids of all layers under it, nearest first, one on a line; empty for a base layer
 * <home>/diff/<id>/    0755 of the mapped root, the layer in aufs form
 * <home>/mnt/<id>/     0755 of the mapped root, where its view is mounted
 * ```
 *
 * A layer exists when `layers/<id>` does. Engines write that file without syncing it: after a power cut it may be empty, and
 * a layer with parents would show its own changes as if they were everything. So every read checks what it finds, repairs
 * what a child's list still tells, and fails with ERR_STORE_DAMAGED otherwise.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, nativeSyscalls, S_IFDIR, S_IFMT, writeFileDurably } from '@layerstore/linux';
import type { Home } from '../home/home.js';
import { listOptional, readOptional, unlessAbsent } from '../home/optional-file.js';
import { Children } from './children.js';

export const removingSuffix = '-removing';

export class LayerRecords {
  readonly children: Children;
  readonly #home: string;
  readonly #readOnly: boolean;

  constructor(home: Pick<Home, 'path' | 'readOnly'>) {
    this.#home = home.path;
    this.#readOnly = home.readOnly;
    this.children = new Children(join(home.path, 'layers'));
  }

  /** @throws StoreError ERR_INVALID_ID, also for names that mark a layer that is being removed */
  path(kind: 'layers' | 'diff' | 'mnt', id: LayerId): string {
    const checked = parseLayerId(id);
    if (checked.endsWith(removingSuffix)) {
      throw new StoreError('ERR_INVALID_ID', 'names that end in -removing are deleted when an aufs home is opened', {
        subject: checked,
      });
    }
    return join(this.#home, kind, checked);
  }

  exists(id: LayerId): boolean {
    return unlessAbsent(() => lstatSync(this.path('layers', id)).isFile()) ?? false;
  }

  /** @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  requireLayer(id: LayerId): void {
    if (!this.exists(id)) {
      throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.#home}`, { subject: id });
    }
    if (!isRealDirectory(this.path('diff', id)))
      throw damaged(this.path('diff', id), 'the directory of the layer is gone');
  }

  list(): LayerId[] {
    return listOptional(join(this.#home, 'layers'))
      .filter((entry) => entry.isFile() && !entry.name.endsWith(removingSuffix))
      .map((entry) => entry.name)
      .filter(isLayerId);
  }

  /**
   * All layers under `id`, nearest first; empty for a base layer. Cost: a few small calls for each.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
   */
  parents(id: LayerId): LayerId[] {
    this.requireLayer(id);
    const parents = this.#listed(id);
    const [parent, ...rest] = parents;
    for (const each of parents) {
      if (!isRealDirectory(this.path('diff', each))) {
        throw damaged(this.path('layers', id), `it lists ${each}, a layer that is gone`);
      }
    }
    if (parent !== undefined && !sameList(this.#listed(parent), rest)) {
      throw damaged(this.path('layers', id), `the list does not agree with that of the parent, ${parent}`);
    }
    return parents;
  }

  #listed(id: LayerId): LayerId[] {
    const file = this.path('layers', id);
    const parents = this.#read(file, id);
    if (parents.length > 0) return parents;
    const derived = this.#listedByChild(id);
    if (derived.length > 0 && !this.#readOnly) writeFileDurably(file, formatParents(derived), 0o644);
    return derived;
  }

  /** A layer's list is its parent followed by the parent's list. */
  #listedByChild(id: LayerId): LayerId[] {
    const child = this.children.of(id);
    if (child === undefined) return [];
    const [parent, ...rest] = this.#read(this.path('layers', child), child);
    return parent === id ? rest : [];
  }

  #read(file: string, id: LayerId): LayerId[] {
    const text = readOptional(file) ?? '';
    const lines = text.split('\n').filter((line) => line !== '');
    const parents = lines.filter(isLayerId);
    const seen = new Set([id, ...parents]);
    if (parents.length !== lines.length || seen.size !== parents.length + 1) {
      throw damaged(file, 'it is no list of layers');
    }
    return parents;
  }
}

export function formatParents(parents: readonly LayerId[]): string {
  return parents.map((id) => `${id}\n`).join('');
}

/** Asked for every layer of a stack, for which the status of node:fs takes too long. */
function isRealDirectory(path: string): boolean {
  const status = nativeSyscalls().statxIfPresent(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  return status !== undefined && (status.mode & S_IFMT) === S_IFDIR;
}

function sameList(one: readonly LayerId[], other: readonly LayerId[]): boolean {
  return one.length === other.length && one.every((id, index) => id === other[index]);
}

function damaged(path: string, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: path,
    hint: 'remove the layer and everything above it, then load the image again',
  });
}
