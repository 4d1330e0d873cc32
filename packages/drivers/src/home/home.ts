import { chmodSync, existsSync, mkdirSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromSystemError, reachedStep, type LayerId, type Logger } from '@layerstore/core';
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
} from '@layerstore/linux';
import type { DriverOptions } from '../driver-options.js';
import { HomeStaging, type StagingDirectory } from './home-staging.js';
import { refuseInUse } from './in-use.js';
import { treeWork, type TreeWork } from './tree-work.js';

/**
 * The directory that a driver owns, and how layers enter and leave it: built in staging and renamed in, renamed out to
 * staging and deleted there. At any moment a layer is there whole or not at all.
 */
export class Home {
  readonly staging: HomeStaging;

  private constructor(
    /** Absolute and free of symlinks, as the kernel's mount table shows it. */
    readonly path: string,
    /** Docker's name for the file system that holds it. */
    readonly backingFileSystem: string,
    private readonly mounter: Mounter,
    private readonly logger: Logger | undefined,
    /** Copies, deletes and syncs trees for the driver. */
    readonly trees: TreeWork,
  ) {
    this.staging = new HomeStaging(path, trees);
  }

  /** Opens a home; one that is not there is made, 0710 as Docker does. @throws StoreError ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_IO */
  static open(path: string, options: DriverOptions): Home {
    try {
      if (mkdirSync(path, { recursive: true, mode: 0o710 }) !== undefined) {
        chmodSync(path, 0o710);
        syncDirectory(dirname(path));
      }
      const real = realpathSync(path);
      const { name } = backingFileSystem(real);
      return new Home(real, name, options.mounter, options.logger, treeWork(options.workers));
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /** Makes a directory of the home itself where it is missing. */
  makeSubdirectory(name: string, mode: number): void {
    const path = join(this.path, name);
    try {
      if (mkdirSync(path, { recursive: true, mode }) === undefined) return;
      chmodSync(path, mode);
      syncDirectory(this.path);
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /**
   * Lets `build` fill a directory that nobody sees, which must be on disk when it returns, and gives it its name.
   * @param afterRename makes what else names the layer; when it fails, the layer is taken out again
   * @returns false when the name is taken; nothing is left then
   */
  async publish(
    id: LayerId,
    directory: string,
    build: (path: string) => Promise<void>,
    afterRename?: () => void,
  ): Promise<boolean> {
    await using staged = await this.staging.enter();
    const layer = staged.entry('layer');
    makeDirectory(layer, 0o755);
    await build(layer);
    reachedStep('driver.create.built', id);
    if (!renameToFreeName(layer, directory)) return false;
    reachedStep('driver.create.renamed', id);
    try {
      afterRename?.();
      syncDirectory(dirname(directory));
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
   * @throws StoreError ERR_BUSY
   */
  async retire(id: LayerId, directory: string, afterRename?: () => void): Promise<void> {
    refuseInUse(id, directory);
    await this.#takeOut(id, directory, afterRename);
    reachedStep('driver.remove.deleted', id);
  }

  /** Deletes what interrupted work has left in staging, mounts included. */
  async sweep(): Promise<void> {
    const swept = await this.staging.sweep(async (place) => {
      const mounted = mountsBelow(readMountTable(), place).reverse();
      for (const entry of mounted) await this.mounter.unmount(entry.mountPoint);
    });
    if (swept > 0) this.logger?.info({ home: this.path, swept }, 'deleted what interrupted work had left');
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

/** Makes a directory of exactly this mode: the process's umask takes bits away. */
export function makeDirectory(path: string, mode: number): void {
  mkdirSync(path);
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
