/**
 * `<home>/l/`: a short name for every layer, so that the paths of 128 lowers fit into the one page that mount(2) takes.
 *
 * ```
 * <home>/l/<26 characters of A-Z2-7>  ->  ../<id>/diff
 * ```
 */
import { randomBytes } from 'node:crypto';
import { lstatSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, StoreError, type LayerId } from '@layerstore/core';
import { syncDirectory } from '@layerstore/linux';
import type { Durability } from '../driver.js';
import type { Home } from '../home/home.js';
import { isDirectory, listOptional, unlessAbsent } from '../home/optional-file.js';

export const linkDirectory = 'l';

/** Entries of an overlay2 home that are not layers: the short links, and the device node of Docker's quota support. */
export const reservedNames: readonly string[] = [linkDirectory, 'backingFsBlockDev'];

export class ShortLinks {
  readonly path: string;
  readonly #home: string;
  readonly #readOnly: boolean;

  constructor({ path, readOnly }: Pick<Home, 'path' | 'readOnly'>) {
    this.path = join(path, linkDirectory);
    this.#home = path;
    this.#readOnly = readOnly;
  }

  /** How many names there are, broken ones included. */
  count(): number {
    return listOptional(this.path).length;
  }

  /** Every name that leads to a layer, which may be gone. */
  entries(): [name: string, layer: LayerId][] {
    return listOptional(this.path).flatMap((entry): [string, LayerId][] => {
      const layer = isShortName(entry.name) ? this.target(entry.name) : undefined;
      return layer === undefined ? [] : [[entry.name, layer]];
    });
  }

  /** The layer that a name leads to; `undefined` when the symlink is missing or is not one of ours. */
  target(name: string): LayerId | undefined {
    const path = join(this.path, name);
    const text = unlessAbsent(() => (lstatSync(path).isSymbolicLink() ? readlinkSync(path) : ''));
    const id = /^\.\.\/([^/]+)\/diff$/.exec(text ?? '')?.[1];
    return isLayerId(id) && !reservedNames.includes(id) ? id : undefined;
  }

  make(name: string, id: LayerId, durability: Durability = 'synced'): void {
    symlinkSync(`../${id}/diff`, join(this.path, name));
    if (durability === 'synced') syncDirectory(this.path);
  }

  /**
   * Sees to it that `name` leads to `id`. A symlink that is lost, or that a power cut left empty, is made again, except in
   * a home that is only read.
   * @throws StoreError ERR_STORE_DAMAGED when it leads to another layer
   */
  require(name: string, id: LayerId, durability: Durability = 'synced'): void {
    const target = this.target(name);
    if (target === id) return;
    if (target !== undefined && isDirectory(join(this.#home, target))) {
      throw new StoreError('ERR_STORE_DAMAGED', `it leads to ${target}, but it is the short name of ${id}`, {
        subject: join(this.path, name),
        hint: 'remove the symlink; it is made again when the layer is used',
      });
    }
    if (this.#readOnly) return;
    this.drop(name);
    try {
      this.make(name, id, durability);
    } catch (error) {
      // Another process repairs the same home.
      if (this.target(name) !== id) throw error;
    }
  }

  /** Drops the name of a layer that is gone: the recorded one or, where the record is lost, all that lead to it. */
  dropFor(id: LayerId, recorded: string | undefined): void {
    const known = recorded !== undefined && isShortName(recorded) && this.target(recorded) === id;
    const names = known ? [recorded] : this.entries().flatMap(([name, layer]) => (layer === id ? [name] : []));
    for (const name of names) this.drop(name);
  }

  drop(name: string): void {
    unlessAbsent(() => unlinkSync(join(this.path, name)));
  }
}

export function randomShortName(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from(randomBytes(26), (byte) => alphabet.charAt(byte % alphabet.length)).join('');
}

export function isShortName(text: string): boolean {
  return /^[A-Z2-7]{26}$/.test(text);
}
