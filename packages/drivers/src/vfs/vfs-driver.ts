/**
 * `vfs`: every layer is a complete directory tree, copied from its parent's. Nothing is mounted.
 *
 * ```
 * <home>/dir/<id>/        the tree, as Docker's driver of the same name keeps it
 * <home>/.layerstore/     ours: staging, and the mount points of read-only views
 * ```
 *
 * It works on every file system and is the reference for what views must look like. A copy shares its data with the
 * parent where the file system can (reflink). Docker records no parents here, and none are needed: two trees are
 * compared whole.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, isLayerId, parseLayerId, StoreError, type IdMaps, type LayerId } from '@layerstore/core';
import { findChanges, type DiffSource, type LayerTree } from '@layerstore/archive';
import { syncDirectory, type MountPlan } from '@layerstore/linux';
import type {
  Abilities,
  ApplyTarget,
  CreateOptions,
  CreateReadWriteOptions,
  GraphDriver,
  PlanOptions,
} from '../driver.js';
import { checkStorageOptions, noProjectQuotas, type DriverOptions } from '../driver-options.js';
import { refuseInUse } from '../home/in-use.js';
import { Home, setOwnership } from '../home/home.js';
import { isDirectory, listOptional } from '../home/optional-file.js';

/**
 * Opens a vfs home, or makes a new one.
 * @throws StoreError ERR_UNKNOWN_OPTION, ERR_NOT_SUPPORTED
 */
export async function openVfs(path: string, options: DriverOptions): Promise<VfsDriver> {
  checkStorageOptions(options.storageOptions, {
    driver: 'vfs',
    ignored: [],
    refused: { size: noProjectQuotas, 'vfs.size': noProjectQuotas },
  });
  const home = Home.open(path, options);
  home.makeSubdirectory('dir', 0o710);
  if (!home.readOnly) home.makeViewDirectory();
  return Promise.resolve(new VfsDriver(home));
}

export class VfsDriver implements GraphDriver {
  readonly name = 'vfs';
  readonly home: string;
  readonly state: string;
  readonly idMaps: IdMaps | undefined;
  readonly abilities: Abilities = {
    independentLayers: false,
    nativeDiff: false,
    sizeRule: 'tar-headers',
    quota: false,
    maxDepth: Infinity,
  };

  constructor(private readonly directories: Home) {
    this.home = directories.path;
    this.state = directories.state;
    this.idMaps = directories.idMaps;
  }

  async create(id: LayerId, options: CreateOptions = {}): Promise<void> {
    const directory = this.#directory(id);
    try {
      const parent = options.parent === undefined ? undefined : this.#requireLayer(options.parent);
      if (existsSync(directory)) this.#acceptUntouched(id, parent);
      else await this.#make(id, parent);
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async createReadWrite(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    checkStorageOptions(options.storageOptions, {
      driver: this.name,
      ignored: [],
      refused: { size: noProjectQuotas },
    });
    await this.create(id, options);
  }

  async remove(id: LayerId): Promise<void> {
    const directory = this.#directory(id);
    try {
      if (!existsSync(directory)) return;
      refuseInUse(id, this.mountPoint(id));
      await this.directories.retire(id, directory);
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async exists(id: LayerId): Promise<boolean> {
    return Promise.resolve(isDirectory(this.#directory(id)));
  }

  /** Docker records no parents here. */
  async parent(id: LayerId): Promise<undefined> {
    this.#requireLayer(id);
    return Promise.resolve(undefined);
  }

  async list(): Promise<LayerId[]> {
    const entries = listOptional(join(this.home, 'dir')).filter((entry) => entry.isDirectory());
    return Promise.resolve(entries.map((entry) => entry.name).filter(isLayerId));
  }

  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    this.#requireLayer(id);
    return Promise.resolve({});
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    return Promise.resolve([['Backing Filesystem', this.directories.backingFileSystem]]);
  }

  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    const path = this.#requireLayer(id);
    const readOnly = options.readOnly === true || this.directories.readOnly;
    return Promise.resolve(readOnly ? { kind: 'bind', source: path, readOnly } : { kind: 'directory', path });
  }

  async openView(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    if (this.directories.readOnly) this.directories.makeViewDirectory();
    return this.plan(id, options);
  }

  async closeView(id: LayerId): Promise<void> {
    parseLayerId(id);
    return Promise.resolve();
  }

  mountPoint(id: LayerId): string {
    return this.directories.viewPoint(id);
  }

  async applyTarget(id: LayerId): Promise<ApplyTarget> {
    this.directories.requireWritable(id);
    return Promise.resolve({ tree: this.#tree(id), lowers: [] });
  }

  async finishApply(id: LayerId): Promise<void> {
    await this.applyTarget(id);
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource> {
    const lowers = parent === undefined ? [] : [this.#tree(parent)];
    return Promise.resolve({ upper: this.#tree(id), lowers });
  }

  async cleanup(): Promise<void> {
    await this.directories.sweep();
  }

  async #make(id: LayerId, parent: string | undefined): Promise<void> {
    const made = await this.directories.publish(id, this.#directory(id), async (tree) => {
      if (parent === undefined) setOwnership(tree, 0o755, this.directories.rootOwner);
      else {
        await this.directories.trees.copy(parent, tree);
        await this.directories.trees.sync(tree);
      }
      syncDirectory(tree);
    });
    // Another process has made a layer of this name meanwhile.
    if (!made) this.#acceptUntouched(id, parent);
  }

  /** Compares the whole trees: a caller asks twice only after an error. @throws StoreError ERR_EXISTS */
  #acceptUntouched(id: LayerId, parent: string | undefined): void {
    const tree = this.#directory(id);
    const untouched = parent === undefined ? readdirSync(tree).length === 0 : sameTree(tree, parent);
    if (!untouched) {
      throw new StoreError('ERR_EXISTS', 'a layer of this name exists, with content of its own', { subject: id });
    }
  }

  #directory(id: LayerId): string {
    return join(this.home, 'dir', parseLayerId(id));
  }

  #tree(id: LayerId): LayerTree {
    return this.directories.tree(this.#requireLayer(id), 'complete');
  }

  /** @throws StoreError ERR_LAYER_NOT_FOUND */
  #requireLayer(id: LayerId): string {
    const directory = this.#directory(id);
    if (isDirectory(directory)) return directory;
    throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.home}`, { subject: id });
  }
}

function sameTree(one: string, other: string): boolean {
  const changes = findChanges({ upper: complete(one), lowers: [complete(other)] });
  return changes[Symbol.iterator]().next().done === true;
}

function complete(path: string): LayerTree {
  return { path, dialect: 'complete' };
}
