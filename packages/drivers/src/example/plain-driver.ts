/**
 * `plain`: the driver that docs/drivers.md writes in an afternoon. It is complete and keeps the contract; it is in no registry.
 *
 * ```
 * <home>/<id>/diff/      the layer's changes
 * <home>/<id>/parent     the id of the layer below; absent in a base layer
 * <home>/<id>/committed  empty; the layer has a child, or had one, and is never written again
 * <home>/<id>/work/      for the kernel
 * <home>/<id>/merged/    the mount point
 * ```
 */
import { chmodSync, closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import type { DiffSource, LayerTree } from '@layerstore/archive';
import { syncFile, type MountPlan, type OverlayPlan } from '@layerstore/linux';
import type { Abilities, ApplyTarget, PlanOptions } from '../driver.js';
import { checkStorageOptions, type DriverOptions } from '../driver-options.js';
import { HomeDriver, type NewLayer } from '../home/home-driver.js';
import { Home, makeDirectory, makeFile } from '../home/home.js';
import { isDirectory, listOptional, readOptional } from '../home/optional-file.js';
import { copyRootAttributes } from '../home/root-attributes.js';

export async function openPlain(path: string, options: DriverOptions): Promise<PlainDriver> {
  checkStorageOptions(options.storageOptions, { driver: 'plain', ignored: [], refused: {} });
  return Promise.resolve(new PlainDriver(Home.open(path, options)));
}

export class PlainDriver extends HomeDriver {
  readonly name = 'plain';
  readonly abilities: Abilities = {
    independentLayers: true,
    nativeDiff: true,
    sizeRule: 'lstat',
    quota: false,
    lazy: false,
    maxDepth: 128,
  };

  async list(): Promise<LayerId[]> {
    const names = listOptional(this.home).map((entry) => entry.name);
    return Promise.resolve(names.filter(isLayerId).filter((name) => isDirectory(join(this.home, name, 'diff'))));
  }

  async parent(id: LayerId): Promise<LayerId | undefined> {
    return Promise.resolve(this.#stack(id)[1]);
  }

  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({ UpperDir: this.#tree(id).path, MergedDir: this.mountPoint(id) });
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    return Promise.resolve([['Backing Filesystem', this.directories.backingFileSystem]]);
  }

  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    const [own = '', ...lowers] = this.#stack(id).map((layer) => this.#tree(layer).path);
    const readOnly = options.readOnly === true || this.directories.readOnly || existsSync(this.#committed(id));
    const upper = { path: own, work: join(this.directory(id), 'work') };
    if (lowers.length > 0 && readOnly) return Promise.resolve(overlay({ lowers: [own, ...lowers] }));
    if (lowers.length > 0) return Promise.resolve(overlay({ lowers, upper }));
    return Promise.resolve(readOnly ? { kind: 'bind', source: own, readOnly } : { kind: 'directory', path: own });
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined> {
    if (parent !== undefined) this.requireLayer(parent);
    const [, ...lowers] = this.#stack(id);
    // Any other parent can only be compared through views.
    if (lowers[0] !== parent) return Promise.resolve(undefined);
    return Promise.resolve({ upper: this.#tree(id), lowers: lowers.map((lower) => this.#tree(lower)) });
  }

  protected directory(id: LayerId): string {
    return join(this.home, parseLayerId(id));
  }

  protected ownMountPoint(id: LayerId): string {
    return join(this.directory(id), 'merged');
  }

  protected async make(id: LayerId, { parent }: NewLayer): Promise<boolean> {
    const depth = parent === undefined ? 1 : 1 + this.#stack(parent).length;
    if (depth > this.abilities.maxDepth) {
      throw new StoreError('ERR_MAX_DEPTH', `a stack has at most ${this.abilities.maxDepth} layers`, { subject: id });
    }
    return this.directories.publish(id, this.directory(id), (layer) => {
      chmodSync(layer, 0o710);
      for (const name of ['diff', 'work']) makeDirectory(join(layer, name), 0o755);
      if (parent !== undefined) {
        makeFile(join(layer, 'parent'), parent, 0o644);
        copyRootAttributes(this.#tree(parent).path, join(layer, 'diff'));
        // Before the child is visible: a parent that went on being written would change under it.
        closeSync(openSync(this.#committed(parent), 'a', 0o600));
        for (const path of [join(layer, 'parent'), this.#committed(parent), this.directory(parent)]) syncFile(path);
      }
      for (const name of ['diff', 'work', '.']) syncFile(join(layer, name));
      return Promise.resolve();
    });
  }

  protected differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined {
    if (this.#stack(id)[1] !== parent) return 'over another parent';
    if (existsSync(this.#committed(id))) return 'with a child';
    return readdirSync(this.#tree(id).path).length === 0 ? undefined : 'with content';
  }

  protected targetOf(id: LayerId): ApplyTarget {
    const [own = id, ...lowers] = this.#stack(id);
    return { tree: this.#tree(own), lowers: lowers.map((lower) => this.#tree(lower)) };
  }

  /** The layer and all under it, uppermost first. @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  #stack(id: LayerId): LayerId[] {
    const stack: LayerId[] = [];
    for (let layer: LayerId | undefined = id; layer !== undefined; layer = this.#recorded(layer)) {
      if (stack.length > this.abilities.maxDepth) {
        throw new StoreError('ERR_STORE_DAMAGED', 'the parents of the layer lead in a circle', { subject: id });
      }
      stack.push(layer);
    }
    return stack;
  }

  /** The home is written by others as well: what it names as a parent is checked like any id. */
  #recorded(id: LayerId): LayerId | undefined {
    const text = readOptional(join(this.requireLayer(id), 'parent'));
    return text === undefined ? undefined : parseLayerId(text);
  }

  #committed(id: LayerId): string {
    return join(this.directory(id), 'committed');
  }

  #tree(id: LayerId): LayerTree {
    return { path: join(this.requireLayer(id), 'diff'), dialect: 'overlay' };
  }
}

function overlay(parts: Pick<OverlayPlan, 'lowers' | 'upper'>): OverlayPlan {
  return { kind: 'overlay', ...parts, options: [] };
}
