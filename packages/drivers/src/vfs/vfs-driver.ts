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
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, parseLayerId, type LayerId } from '@layerstore/core';
import { findChanges, type DiffSource, type LayerTree } from '@layerstore/archive';
import { kernelTables, nativeSyscalls, syncDirectory, type MountPlan } from '@layerstore/linux';
import type { Abilities, ApplyTarget, PlanOptions } from '../driver.js';
import { checkStorageOptions, type DriverOptions, type StorageOptions } from '../driver-options.js';
import { HomeDriver, type NewLayer } from '../home/home-driver.js';
import { refuseInUse } from '../home/in-use.js';
import { Home, setOwnership } from '../home/home.js';
import { refuseSizeWithoutXfs, SizeLimits } from '../home/size-limits.js';
import { checkLabel } from '../home/selinux-label.js';
import { listOptional } from '../home/optional-file.js';

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

export class VfsDriver extends HomeDriver {
  readonly name = 'vfs';
  readonly abilities: Abilities;

  constructor(private readonly parts: VfsParts) {
    super(parts.home);
    this.abilities = {
      independentLayers: false,
      nativeDiff: false,
      sizeRule: 'tar-headers',
      quota: parts.sizeLimits.areEnforced,
      lazy: false,
      maxDepth: Infinity,
    };
  }

  /** A view is mounted outside the layer's directory. */
  override async remove(id: LayerId): Promise<void> {
    refuseInUse(id, this.mountPoint(id));
    await super.remove(id);
  }

  /** Docker records no parents here. */
  async parent(id: LayerId): Promise<undefined> {
    this.requireLayer(id);
    return Promise.resolve(undefined);
  }

  async list(): Promise<LayerId[]> {
    const entries = listOptional(join(this.home, 'dir')).filter((entry) => entry.isDirectory());
    return Promise.resolve(entries.map((entry) => entry.name).filter(isLayerId));
  }

  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    this.requireLayer(id);
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
    const path = this.requireLayer(id);
    const readOnly = options.readOnly === true || this.directories.readOnly;
    return Promise.resolve(readOnly ? { kind: 'bind', source: path, readOnly } : { kind: 'directory', path });
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource> {
    const lowers = parent === undefined ? [] : [this.#tree(parent)];
    return Promise.resolve({ upper: this.#tree(id), lowers });
  }

  protected async make(id: LayerId, { parent, mountLabel, sizeLimit }: NewLayer): Promise<boolean> {
    const { trees, rootOwner } = this.directories;
    const label = this.#label(mountLabel);
    return this.directories.publish(id, this.directory(id), async (tree) => {
      if (sizeLimit !== undefined) await this.parts.sizeLimits.limit(tree, sizeLimit);
      if (parent === undefined) {
        setOwnership(tree, 0o755, rootOwner);
        if (label !== undefined) setLabel(tree, label);
      } else {
        await trees.copy(this.requireLayer(parent), tree, label === undefined ? {} : { label });
        await trees.sync(tree);
      }
      syncDirectory(tree);
    });
  }

  /** The copies are labelled, because nothing is mounted that could be. */
  #label(mountLabel: string | undefined): string | undefined {
    if (mountLabel === undefined || mountLabel === '') return undefined;
    checkLabel(mountLabel);
    return this.parts.labels === 'used' ? mountLabel : undefined;
  }

  /** Compares the whole trees: a caller asks twice only after an error. */
  protected differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined {
    const tree = this.directory(id);
    const untouched = parent === undefined ? readdirSync(tree).length === 0 : sameTree(tree, this.requireLayer(parent));
    return untouched ? undefined : 'with content of its own';
  }

  protected targetOf(id: LayerId): ApplyTarget {
    return { tree: this.#tree(id), lowers: [] };
  }

  protected override sizeLimit(options: StorageOptions | undefined): number | undefined {
    return this.parts.sizeLimits.forLayer(options);
  }

  protected directory(id: LayerId): string {
    return join(this.home, 'dir', parseLayerId(id));
  }

  protected ownMountPoint(id: LayerId): string {
    return this.directories.viewPoint(id);
  }

  #tree(id: LayerId): LayerTree {
    return this.directories.tree(this.requireLayer(id), 'complete');
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
