import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  checkIdMaps,
  fromSystemError,
  hostRoot,
  parseLayerId,
  reachedStep,
  silentLogger,
  StoreError,
  type IdMaps,
  type LayerId,
  type Logger,
  type Owner,
} from '@layerstore/core';
import type { Dialect, LayerTree } from '@layerstore/archive';
import {
  AT_FDCWD,
  backingFileSystem,
  hasErrno,
  mountsBelow,
  nativeSyscalls,
  readMountTable,
  RENAME_NOREPLACE,
  syncDirectory,
  type Mounter,
  type OverlayUpper,
} from '@layerstore/linux';
import type { Durability } from '../driver.js';
import type { DriverOptions } from '../driver-options.js';
import { HomeStaging, type StagingDirectory } from './home-staging.js';
import { refuseInUse } from './in-use.js';
import { isDirectory, unlessAbsent } from './optional-file.js';
import { SharedStaging } from './shared-staging.js';
import { stateDirectory, statePath } from './state-directory.js';
import { treeWork, type TreeWork } from './tree-work.js';

interface HomeParts {
  readonly path: string;
  readonly state: string;
  readonly mayBeMade: boolean;
  readonly options: DriverOptions;
}

/**
 * The directory that a driver owns, and how layers enter and leave it: built in staging and renamed in, renamed out to
 * staging and deleted there. At any moment a layer is there whole or not at all.
 */
export class Home {
  /** Absolute and free of symlinks, as the kernel's mount table shows it. */
  readonly path: string;
  /** Where what is layerstore's own lies: `<home>/.layerstore`, or the state directory of a home that is only read. */
  readonly state: string;
  /** Nothing may be written below {@link path}. */
  readonly readOnly: boolean;
  /** Docker's name for the file system that holds the home. */
  readonly backingFileSystem: string;
  readonly staging: HomeStaging;
  /** Copies, deletes and syncs trees for the driver. */
  readonly trees: TreeWork;
  /** Owners of layers on disk are the host's, under these maps. */
  readonly idMaps: IdMaps | undefined;
  /** Whom new layers belong to where owners are mapped: the container's root, as the host sees it. */
  readonly rootOwner: Owner | undefined;
  /** Of layers that are built unsynced. */
  readonly #shared: SharedStaging;
  readonly #mayBeMade: boolean;
  readonly #mounter: Mounter;
  readonly logger: Logger;

  private constructor({ path, state, mayBeMade, options }: HomeParts) {
    this.path = path;
    this.state = state;
    this.readOnly = isReadOnly(options);
    this.backingFileSystem = backingFileSystem(path).name;
    this.trees = treeWork(options.workers);
    this.staging = new HomeStaging(state, this.trees);
    this.#shared = new SharedStaging(this.staging, this.trees);
    this.idMaps = options.idMaps;
    this.rootOwner = options.idMaps === undefined ? undefined : hostRoot(options.idMaps);
    this.#mayBeMade = mayBeMade;
    this.#mounter = options.mounter;
    this.logger = options.logger ?? silentLogger;
  }

  /**
   * Opens a home; one that is not there is made, 0710 as Docker does, unless `access` or `create` forbid it.
   * The group of a home that is made is the mapped root's, which has to pass through it.
   * @throws StoreError ERR_NOT_FOUND, ERR_READ_ONLY, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_IO
   * @throws StoreError ERR_INVALID_ARGUMENT for id maps that no kernel takes
   */
  static open(path: string, options: DriverOptions): Home {
    if (options.idMaps !== undefined) checkIdMaps(options.idMaps);
    try {
      const mayBeMade = mayBecomeHome(path, options);
      if (mayBeMade) makeHomeDirectory(path, options.idMaps);
      const real = realpathSync(path);
      if (!isDirectory(real)) throw noHome(path);
      const state = isReadOnly(options) ? statePath(real) : join(real, '.layerstore');
      return new Home({ path: real, state, mayBeMade, options });
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR')) throw noHome(path, error);
      throw fromSystemError(error, path);
    }
  }

  /**
   * A directory that every home of the driver has: made where it is missing and the home may be made.
   * @throws StoreError ERR_NOT_A_HOME
   */
  makeSubdirectory(name: string, mode: number): void {
    const path = join(this.path, name);
    if (!this.#mayBeMade) {
      this.requireMark(() => isDirectory(path), `it has no directory ${name}, which every home of the driver has`);
      return;
    }
    try {
      if (mkdirSync(path, { recursive: true, mode }) === undefined) return;
      setOwnership(path, mode, this.passage);
      syncDirectory(this.path);
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /**
   * Refuses a directory without what tells a home of the driver from others, unless it may become one.
   * @throws StoreError ERR_NOT_A_HOME
   */
  requireMark(isMarked: () => boolean, missing: string): void {
    if (this.#mayBeMade || isMarked()) return;
    throw new StoreError('ERR_NOT_A_HOME', missing, {
      subject: this.path,
      hint: 'name the directory that the driver owns, for example /var/lib/docker/overlay2, and the right driver',
    });
  }

  /** Of directories that the container's root passes through, and no more. */
  get passage(): Owner | undefined {
    return passage(this.idMaps);
  }

  upper(path: string, work: string): OverlayUpper {
    return { path, work, ...(this.rootOwner === undefined ? {} : { owner: this.rootOwner }) };
  }

  /** A directory of the home as archives and comparisons take it. */
  tree(path: string, dialect: Dialect): LayerTree {
    return { path, dialect, ...(this.idMaps === undefined ? {} : { idMaps: this.idMaps }) };
  }

  /** Where the views of layers are mounted that have no place for it in the home. */
  viewPoint(id: LayerId): string {
    return join(this.state, 'views', parseLayerId(id));
  }

  /** Makes the directory of {@link viewPoint}; in a home that is only read, before the first view is mounted. */
  makeViewDirectory(): void {
    if (this.readOnly) stateDirectory(this.path);
    mkdirSync(join(this.state, 'views'), { recursive: true, mode: 0o700 });
  }

  /** @param id the layer that was to be changed @throws StoreError ERR_READ_ONLY */
  requireWritable(id: LayerId): void {
    if (!this.readOnly) return;
    throw new StoreError('ERR_READ_ONLY', `nothing is changed in ${this.path}, which was opened read-only`, {
      subject: id,
      hint: 'leave --read-only away',
    });
  }

  /**
   * Lets `build` fill a directory that nobody sees, which must be on disk when it returns if the layer is to be, and gives it its name.
   * @param finish `afterRename` makes what else names the layer; when it fails, the layer is taken out again
   * @returns false when the name is taken; nothing is left then
   * @throws StoreError ERR_READ_ONLY
   */
  async publish(
    id: LayerId,
    directory: string,
    build: (path: string) => Promise<void>,
    { durability = 'synced', afterRename }: Publication = {},
  ): Promise<boolean> {
    this.requireWritable(id);
    await using staged = await (durability === 'synced' ? this.staging.enter() : this.#shared.enter());
    const layer = staged.entry('layer');
    makeDirectory(layer, 0o755);
    await build(layer);
    reachedStep('driver.create.built', id);
    if (!renameToFreeName(layer, directory)) return false;
    reachedStep('driver.create.renamed', id);
    try {
      afterRename?.();
      if (durability === 'synced') syncDirectory(dirname(directory));
    } catch (error) {
      renameSync(directory, layer);
      throw error;
    }
    reachedStep('driver.create.finished', id);
    return true;
  }

  /**
   * Takes a layer's directory out by one rename, then deletes it.
   * @param afterRename drops what else names the layer
   * @throws StoreError ERR_BUSY, ERR_READ_ONLY
   */
  async retire(id: LayerId, directory: string, afterRename?: () => void): Promise<void> {
    this.requireWritable(id);
    refuseInUse(id, directory);
    await this.#takeOut(id, directory, afterRename);
    reachedStep('driver.remove.deleted', id);
  }

  /** Deletes what interrupted work has left in staging, mounts included. */
  async sweep(): Promise<void> {
    await this.#shared.close();
    const swept = await this.staging.sweep(async (place) => {
      const mounted = mountsBelow(readMountTable(), place).reverse();
      for (const entry of mounted) await this.#mounter.unmount(entry.mountPoint);
    });
    if (swept > 0) this.logger.info({ home: this.path, swept }, 'deleted what interrupted work had left');
  }

  async #takeOut(id: LayerId, directory: string, afterRename: (() => void) | undefined): Promise<void> {
    await using out = await this.#toStaging(id, directory);
    if (out === undefined) return;
    reachedStep('driver.remove.renamed', id);
    syncDirectory(dirname(directory));
    afterRename?.();
    reachedStep('driver.remove.unlinked', id);
  }

  async #toStaging(id: LayerId, directory: string): Promise<StagingDirectory | undefined> {
    try {
      return await this.staging.takeIn(directory);
    } catch (error) {
      // Removed, or mounted upon, since it was looked at.
      if (hasErrno(error, 'ENOENT')) return undefined;
      if (hasErrno(error, 'EBUSY')) refuseInUse(id, directory);
      throw error;
    }
  }
}

function isReadOnly(options: DriverOptions): boolean {
  return options.access === 'read-only';
}

function mayBecomeHome(path: string, options: DriverOptions): boolean {
  const { create = 'any' } = options;
  if (isReadOnly(options) || create === 'nothing') return false;
  return create === 'any' || (unlessAbsent(() => readdirSync(path)) ?? []).length === 0;
}

function makeHomeDirectory(path: string, idMaps: IdMaps | undefined): void {
  if (mkdirSync(path, { recursive: true, mode: 0o710 }) === undefined) return;
  setOwnership(path, 0o710, passage(idMaps));
  syncDirectory(dirname(path));
}

function noHome(path: string, cause?: unknown): StoreError {
  return new StoreError('ERR_NOT_FOUND', 'there is no such directory', {
    subject: path,
    hint: 'name the directory that the driver owns, for example /var/lib/docker/overlay2',
    cause,
  });
}

export interface Publication {
  readonly durability?: Durability;
  readonly afterRename?: () => void;
}

function passage(idMaps: IdMaps | undefined): Owner | undefined {
  return idMaps === undefined ? undefined : { uid: 0, gid: hostRoot(idMaps).gid };
}

/** Makes a directory of exactly this mode: the process's umask takes bits away. @param owner default the process's */
export function makeDirectory(path: string, mode: number, owner?: Owner): void {
  mkdirSync(path);
  setOwnership(path, mode, owner);
}

/** Owner first: chown(2) takes bits of the mode away. */
export function setOwnership(path: string, mode: number, owner: Owner | undefined): void {
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
  chmodSync(path, mode);
}

/** Makes a file of exactly this mode. */
export function makeFile(path: string, content: string, mode: number): void {
  writeFileSync(path, content, { flag: 'wx' });
  chmodSync(path, mode);
}

function renameToFreeName(from: string, to: string): boolean {
  try {
    nativeSyscalls().renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST', 'ENOTEMPTY')) return false;
    if (!hasErrno(error, 'EINVAL')) throw error;
    // NFS and some FUSE file systems rename without flags only. A directory with content is never replaced.
    if (existsSync(to)) return false;
    renameSync(from, to);
    return true;
  }
}
