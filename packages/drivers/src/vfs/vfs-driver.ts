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
import { kernelTables, nativeSyscalls, syncDirectory, type MountPlan } from '@layerstore/linux';
import type {
  Abilities,
  ApplyTarget,
  CreateOptions,
  CreateReadWriteOptions,
  GraphDriver,
  PlanOptions,
} from '../driver.js';
import { checkStorageOptions, type DriverOptions } from '../driver-options.js';
import { refuseInUse } from '../home/in-use.js';
import { Home, setOwnership } from '../home/home.js';
import { refuseSizeWithoutXfs, SizeLimits } from '../home/size-limits.js';
import { checkLabel } from '../home/selinux-label.js';
import { isDirectory, listOptional } from '../home/optional-file.js';

const sizeKeys = ['size', 'vfs.size'];

/**
 * Opens a vfs home, or makes a new one.
 * @throws StoreError ERR_UNKNOWN_OPTION, ERR_NOT_SUPPORTED
 */
export async function openVfs(path: string, options: DriverOptions): Promise<VfsDriver> {
  checkStorageOptions(options.storageOptions, { driver: 'vfs', accepted: sizeKeys, ignored: [], refused: {} });
  const sizes = { driver: 'vfs', keys: sizeKeys, storageOptions: options.storageOptions };
  if (options.access !== 'read-only') refuseSizeWithoutXfs(path, sizes);
  const home = Home.open(path, options);
  home.makeSubdirectory('dir', 0o710);
  if (!home.readOnly) home.makeViewDirectory();
  const sizeLimits = SizeLimits.open(home, join(home.path, 'dir'), sizes);
  return Promise.resolve(new VfsDriver({ home, sizeLimits, labels: kernelTables.takesLabels() ? 'used' : 'ignored' }));
}

export interface VfsParts {
  readonly home: Home;
  readonly sizeLimits: SizeLimits;
  /** SELinux labels mean something only where it is switched on. */
  readonly labels: 'used' | 'ignored';
}

interface NewLayer {
  /** The tree to copy. */
  readonly parent: string | undefined;
  readonly label: string | undefined;
  /** In bytes. */
  readonly sizeLimit: number | undefined;
}

export class VfsDriver implements GraphDriver {
  readonly name = 'vfs';
  readonly home: string;
  readonly state: string;
  readonly idMaps: IdMaps | undefined;
  readonly abilities: Abilities;
  private readonly directories: Home;

  constructor(private readonly parts: VfsParts) {
    this.directories = parts.home;
    this.home = parts.home.path;
    this.state = parts.home.state;
    this.idMaps = parts.home.idMaps;
    this.abilities = {
      independentLayers: false,
      nativeDiff: false,
      sizeRule: 'tar-headers',
      quota: parts.sizeLimits.areEnforced,
      maxDepth: Infinity,
    };
  }

  async create(id: LayerId, options: CreateOptions = {}): Promise<void> {
    await this.#create(id, options, undefined);
  }

  async createReadWrite(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    await this.#create(id, options, this.parts.sizeLimits.forLayer(options.storageOptions));
  }

  async restore(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    if (!(await this.exists(id))) await this.createReadWrite(id, options);
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
    return Promise.resolve([
      ['Backing Filesystem', this.directories.backingFileSystem],
      ['Mount Engine', 'none: layers are complete trees'],
      ['Maximum Depth', 'none'],
      ['Size Limits', this.parts.sizeLimits.summary],
    ]);
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

  async #create(id: LayerId, options: CreateOptions, sizeLimit: number | undefined): Promise<void> {
    const directory = this.#directory(id);
    try {
      const parent = options.parent === undefined ? undefined : this.#requireLayer(options.parent);
      if (existsSync(directory)) this.#acceptUntouched(id, parent);
      else await this.#make(id, { parent, label: this.#label(options.mountLabel), sizeLimit });
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async #make(id: LayerId, { parent, label, sizeLimit }: NewLayer): Promise<void> {
    const { trees, rootOwner } = this.directories;
    const made = await this.directories.publish(id, this.#directory(id), async (tree) => {
      if (sizeLimit !== undefined) await this.parts.sizeLimits.limit(tree, sizeLimit);
      if (parent === undefined) {
        setOwnership(tree, 0o755, rootOwner);
        if (label !== undefined) setLabel(tree, label);
      } else {
        await trees.copy(parent, tree, label === undefined ? {} : { label });
        await trees.sync(tree);
      }
      syncDirectory(tree);
    });
    // Another process has made a layer of this name meanwhile.
    if (!made) this.#acceptUntouched(id, parent);
  }

  /** The copies are labelled, because nothing is mounted that could be. */
  #label(mountLabel: string | undefined): string | undefined {
    if (mountLabel === undefined || mountLabel === '') return undefined;
    checkLabel(mountLabel);
    return this.parts.labels === 'used' ? mountLabel : undefined;
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

/** The kernel keeps labels with their final NUL. */
function setLabel(path: string, label: string): void {
  nativeSyscalls().setXattr(path, 'security.selinux', Buffer.from(`${label}\0`));
}

function complete(path: string): LayerTree {
  return { path, dialect: 'complete' };
}
