/**
 * How layers enter and leave an aufs home: a directory in `diff/`, one in `mnt/`, and the file in `layers/` that makes them a
 * layer. It is the last to come and the first to go.
 */
import { existsSync, linkSync, lstatSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { reachedStep, StoreError, type LayerId, type Owner } from '@layerstore/core';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  mountsBelow,
  nativeSyscalls,
  readMountTable,
  syncDirectory,
  syncFile,
  type Mounter,
} from '@layerstore/linux';
import { makeDirectory, makeFile, type Home } from '../home/home.js';
import { refuseInUse } from '../home/in-use.js';
import { isDirectory, listOptional, unlessAbsent } from '../home/optional-file.js';
import { copyRootAttributes } from '../home/root-attributes.js';
import { LayerChanges } from './layer-changes.js';
import { formatParents, removingSuffix, type LayerRecords } from './layer-records.js';
import type { OverlayForms } from './overlay-forms.js';
import type { Shadows } from '../shadows/shadows.js';

/** Directories are let go of within milliseconds by indexers and by mounts that end. */
const busyDelaysMs = [5, 10, 20, 40, 80, 160, 320];

export interface LayerFolderParts {
  readonly home: Home;
  readonly mounter: Mounter;
  readonly records: LayerRecords;
  readonly forms: OverlayForms;
  readonly shadows: Shadows;
  /** Who owns the directories of layers: root as containers see it. */
  readonly root: Owner;
}

export class LayerFolders {
  readonly #changes: LayerChanges;

  constructor(private readonly parts: LayerFolderParts) {
    this.#changes = new LayerChanges(parts.home.path);
  }

  /**
   * Makes an empty layer, durably. Its root has the attributes of its parent's.
   * @returns false when a layer of this name is there meanwhile
   * @throws StoreError ERR_EXISTS when something that is no layer has the name and content
   */
  async make(id: LayerId, parents: readonly LayerId[]): Promise<boolean> {
    const { home, records } = this.parts;
    await using change = await this.#changes.begin(id);
    if (records.exists(id)) return false;
    this.#refuseContent(id);
    await using staged = await home.staging.enter();
    const tree = staged.entry('diff');
    this.#build(tree, parents[0]);
    makeFile(staged.entry('parents'), formatParents(parents), 0o644);
    for (const name of ['diff', 'parents']) syncFile(staged.entry(name));
    change.note();
    reachedStep('driver.create.built', id);
    try {
      renameSync(tree, records.path('diff', id));
      reachedStep('driver.create.renamed', id);
      this.restoreMountPoint(id);
      for (const name of ['diff', 'mnt']) syncDirectory(join(home.path, name));
      // A second name, not a rename: that would replace what another program has put there.
      linkSync(staged.entry('parents'), records.path('layers', id));
      syncDirectory(join(home.path, 'layers'));
    } catch (error) {
      await this.#discard(id);
      throw error;
    }
    reachedStep('driver.create.finished', id);
    return true;
  }

  /** @throws StoreError ERR_BUSY with the mounts and processes that hold it */
  async remove(id: LayerId): Promise<void> {
    const { home, records } = this.parts;
    await using _change = await this.#changes.beginRemoval(id);
    refuseInUse(id, records.path('diff', id), records.path('mnt', id));
    unlessAbsent(() => unlinkSync(records.path('layers', id)));
    syncDirectory(join(home.path, 'layers'));
    reachedStep('driver.remove.unlinked', id);
    await this.#discard(id);
    reachedStep('driver.remove.deleted', id);
  }

  /** The directory that the view is mounted on, as Docker expects it. */
  restoreMountPoint(id: LayerId): void {
    const path = this.parts.records.path('mnt', id);
    if (isDirectory(path)) return;
    makeDirectory(path, 0o755);
    this.#own(path);
  }

  /** Deletes what interrupted work of ours and of Docker's has left. Cost: two listings. */
  async sweep(): Promise<void> {
    const { home, records } = this.parts;
    await this.#changes.sweep(async (id) => {
      if (!records.exists(id)) await this.#discard(id);
    });
    for (const folder of ['diff', 'mnt']) {
      const left = listOptional(join(home.path, folder)).filter((entry) => entry.name.endsWith(removingSuffix));
      for (const { name } of left) await this.#delete(join(home.path, folder, name));
    }
    const mountPoints = new Set(listOptional(join(home.path, 'mnt')).map((entry) => entry.name));
    for (const id of records.list()) if (!mountPoints.has(id)) this.restoreMountPoint(id);
  }

  #build(tree: string, parent: LayerId | undefined): void {
    makeDirectory(tree, 0o755);
    this.#own(tree);
    if (parent !== undefined) copyRootAttributes(this.parts.records.path('diff', parent), tree);
  }

  #own(path: string): void {
    const { uid, gid } = this.parts.root;
    nativeSyscalls().fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
  }

  /** An empty directory that somebody left there is replaced; anything else may be the last copy of a layer. */
  #refuseContent(id: LayerId): void {
    const path = this.parts.records.path('diff', id);
    const status = unlessAbsent(() => lstatSync(path));
    if (status === undefined || (status.isDirectory() && readdirSync(path).length === 0)) return;
    throw new StoreError(
      'ERR_EXISTS',
      'something stands under the name of the layer, but no file in layers/ tells of it',
      {
        subject: path,
        hint: 'look at it, and delete it if nobody needs it',
      },
    );
  }

  /** Takes away all that stands under the name of a layer that does not exist, by names that Docker deletes as well. */
  async #discard(id: LayerId): Promise<void> {
    const { records, forms, shadows } = this.parts;
    for (const folder of ['diff', 'mnt'] as const) {
      const path = records.path(folder, id);
      if (!existsSync(path)) continue;
      const away = `${path}${removingSuffix}`;
      await this.#delete(away);
      await this.#renameWhenFree(id, path, away);
      if (folder === 'diff') reachedStep('driver.remove.renamed', id);
      await this.#delete(away);
    }
    await forms.forget(id);
    await shadows.forget(id);
  }

  async #renameWhenFree(id: LayerId, from: string, to: string): Promise<void> {
    for (const wait of [...busyDelaysMs, undefined]) {
      try {
        unlessAbsent(() => renameSync(from, to));
        return;
      } catch (error) {
        if (!hasErrno(error, 'EBUSY')) throw error;
        if (wait === undefined) {
          refuseInUse(id, from);
          throw error;
        }
        await delay(wait);
      }
    }
  }

  async #delete(path: string): Promise<void> {
    if (!existsSync(path)) return;
    for (const entry of mountsBelow(readMountTable(), path).reverse())
      await this.parts.mounter.unmount(entry.mountPoint);
    await this.parts.home.trees.remove(path);
  }
}
