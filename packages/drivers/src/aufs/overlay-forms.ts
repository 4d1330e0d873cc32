/**
 * Writable layers in overlay form: translated before a view is mounted, translated back when nothing uses them.
 *
 * ```
 * <home>/.layerstore/open/<id>/record    how far the translation is
 * <home>/.layerstore/open/<id>/parked/   what an overlay must not show: the bookkeeping of aufs
 * <home>/.layerstore/open/<id>/work/     for the kernel
 * <home>/.layerstore/open/<id>.lock      held shared by who uses the overlay form, exclusively by who translates
 * ```
 *
 * A layer changes its form only while it is locked and no mount has it as a layer. Whoever dies frees the lock in the kernel;
 * the mount table tells whether the view is still there; the record tells what is left to do.
 */
import { mkdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parkedBy, type FormChange, type LayerTree, type OverlayMarkFamily } from '@layerstore/archive';
import { isLayerId, parseLayerId, reachedStep, StoreError, type LayerId } from '@layerstore/core';
import { FileLock, syncDirectory } from '@layerstore/linux';
import type { TreeWork } from '../home/tree-work.js';
import { isDirectory, listOptional, unlessAbsent } from '../home/optional-file.js';
import type { AufsWork } from './aufs-work.js';
import { isUpperInUse } from './upper-in-use.js';
import { readFormRecord, writeFormRecord, type FormRecord } from './form-record.js';

const lockSuffix = '.lock';
const pollMs = 25;

export interface OverlayFormParts {
  /** Absolute path of the home. */
  readonly home: string;
  readonly work: AufsWork;
  readonly trees: TreeWork;
  /** How the overlays of this machine mark directories. */
  readonly marks: OverlayMarkFamily;
  /** The layer's directory. */
  readonly pathOf: (id: LayerId) => string;
  /** Where mounts show the layer or write into it. */
  readonly mountsOf: (id: LayerId) => readonly string[];
}

export class OverlayForms {
  readonly #directory: string;
  /** Held by this process for the views that it has opened. */
  readonly #held = new Map<LayerId, FileLock>();

  constructor(private readonly parts: OverlayFormParts) {
    this.#directory = join(parts.home, '.layerstore', 'open');
  }

  /** The form that a layer is in, or is on its way to or from. @throws StoreError ERR_STORE_DAMAGED */
  formOf(id: LayerId): LayerTree['dialect'] {
    return this.#read(id) === undefined ? 'aufs' : 'overlay';
  }

  /** Finishes what a dead process has begun to translate, or waits for one that lives. @throws StoreError ERR_STORE_DAMAGED */
  async settle(id: LayerId): Promise<void> {
    while (this.#isUnsettled(id)) {
      await this.close(id);
      if (this.#isUnsettled(id)) await delay(pollMs);
    }
  }

  /** The overlay's work directory of a layer in overlay form. */
  workDirectory(id: LayerId): string {
    return join(this.#directoryOf(id), 'work');
  }

  /**
   * Sees to it that a layer is in overlay form, and stays so until {@link close}.
   * @param lowers what lies under it
   * @param marks how directories are marked; default as all overlays of the home do
   * @throws StoreError ERR_BUSY when a mount shows the layer as it is
   */
  async open(id: LayerId, lowers: () => readonly LayerTree[], marks = this.parts.marks): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    while (!(await this.#hold(id))) {
      await using lock = await FileLock.tryAcquire(this.#lockOf(id));
      if (lock === undefined) await delay(pollMs);
      else await this.#translate(id, lowers(), marks);
    }
  }

  /**
   * Lets go of a layer, and gives it back its aufs form if nobody else uses it. Idempotent.
   * @throws StoreError ERR_NOT_SUPPORTED for a name that aufs has no room for; the layer then stays in overlay form
   */
  async close(id: LayerId): Promise<void> {
    this.#held.get(id)?.release();
    this.#held.delete(id);
    if (!isDirectory(this.#directoryOf(id))) return;
    const lock = await FileLock.tryAcquire(this.#lockOf(id));
    if (lock === undefined) return;
    try {
      await this.#translateBack(id);
    } finally {
      if (isDirectory(this.#directoryOf(id))) lock.release();
      else lock.remove();
    }
  }

  /** Gives every layer its aufs form that nobody uses any more. What cannot have it is told to `onFailure`. */
  async closeAll(onFailure: (id: LayerId, error: unknown) => void): Promise<void> {
    for (const { name } of listOptional(this.#directory)) {
      const id = name.endsWith(lockSuffix) ? name.slice(0, -lockSuffix.length) : name;
      if (!isLayerId(id) || this.#held.has(id)) continue;
      try {
        if (name.endsWith(lockSuffix)) await this.#dropIdleLock(id);
        else await this.close(id);
      } catch (error) {
        onFailure(id, error);
      }
    }
  }

  /** Forgets what is recorded about a layer that is gone. */
  async forget(id: LayerId): Promise<void> {
    this.#held.get(id)?.release();
    this.#held.delete(id);
    await this.parts.trees.remove(this.#directoryOf(id));
    await this.#dropIdleLock(id);
  }

  /** Lets go of every layer as it is, like the end of the process. */
  [Symbol.dispose](): void {
    for (const lock of this.#held.values()) lock.release();
    this.#held.clear();
  }

  /** True when the layer is in overlay form and this process holds it there. */
  async #hold(id: LayerId): Promise<boolean> {
    if (this.#held.has(id)) return true;
    const lock = await FileLock.tryAcquire(this.#lockOf(id), { shared: true });
    if (lock === undefined) return false;
    if (this.#read(id)?.phase === 'open') {
      this.#held.set(id, lock);
      return true;
    }
    lock.release();
    return false;
  }

  async #translate(id: LayerId, lowers: readonly LayerTree[], marks: OverlayMarkFamily): Promise<void> {
    const present = this.#read(id);
    if (present?.phase === 'open') return;
    if (present?.phase === 'closing') await this.#finishClosing(id, present.change);
    this.#refuseMounted(id);
    const directory = this.#directoryOf(id);
    const change =
      present?.phase === 'opening'
        ? present.change
        : await this.parts.work.planOverlayForm(this.parts.pathOf(id), lowers, marks);
    for (const name of ['.', 'work', 'parked']) mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
    syncDirectory(this.#directory);
    if (change.directories.length > 0) {
      this.#write(id, { phase: 'opening', change });
      reachedStep('driver.view.opening', id);
      await this.parts.work.change(change, this.parts.pathOf(id), join(directory, 'parked'));
      // Before the record says that it is done.
      await this.parts.trees.sync(this.parts.pathOf(id));
      reachedStep('driver.view.translated', id);
    }
    this.#write(id, { phase: 'open', parked: parkedBy(change), marks: change.marks });
    reachedStep('driver.view.opened', id);
  }

  async #translateBack(id: LayerId): Promise<void> {
    const record = this.#read(id);
    if (this.parts.mountsOf(id).length > 0 || isUpperInUse(this.parts.pathOf(id), this.#directory)) return;
    if (record?.phase === 'closing') {
      await this.#finishClosing(id, record.change);
    } else if (record === undefined) {
      await this.#drop(id);
    } else {
      await this.#closeWhole(id, record);
    }
  }

  async #closeWhole(id: LayerId, record: Extract<FormRecord, { phase: 'opening' | 'open' }>): Promise<void> {
    const path = this.parts.pathOf(id);
    if (record.phase === 'opening') await this.parts.work.change(record.change, path, this.#parkingOf(id));
    const { marks } = record.phase === 'opening' ? record.change : record;
    const parked = record.phase === 'opening' ? parkedBy(record.change) : record.parked;
    const change = await this.parts.work.planAufsForm(path, parked, marks);
    this.#write(id, { phase: 'closing', change });
    reachedStep('driver.view.closing', id);
    await this.#finishClosing(id, change);
  }

  async #finishClosing(id: LayerId, change: FormChange): Promise<void> {
    if (change.directories.length > 0) {
      await this.parts.work.change(change, this.parts.pathOf(id), this.#parkingOf(id));
      // Before the record goes, which alone tells that there was something to translate.
      await this.parts.trees.sync(this.parts.pathOf(id));
      reachedStep('driver.view.restored', id);
    }
    await this.#drop(id);
    reachedStep('driver.view.closed', id);
  }

  /** The record goes first: without it, the rest is only rubbish. */
  async #drop(id: LayerId): Promise<void> {
    const directory = this.#directoryOf(id);
    unlessAbsent(() => unlinkSync(join(directory, 'record')));
    if (isDirectory(directory)) syncDirectory(directory);
    await this.parts.trees.remove(directory);
  }

  #isUnsettled(id: LayerId): boolean {
    const phase = this.#read(id)?.phase;
    return phase === 'opening' || phase === 'closing';
  }

  #parkingOf(id: LayerId): string {
    return join(this.#directoryOf(id), 'parked');
  }

  #refuseMounted(id: LayerId): void {
    const mounts = this.parts.mountsOf(id);
    if (mounts.length === 0) return;
    throw new StoreError('ERR_BUSY', `a view that shows it is mounted on ${mounts.join(', ')}`, {
      subject: id,
      hint: 'unmount that first: the layer cannot become writable under it',
    });
  }

  async #dropIdleLock(id: LayerId): Promise<void> {
    if (isDirectory(this.#directoryOf(id))) return;
    if (!listOptional(this.#directory).some((entry) => entry.name === `${id}${lockSuffix}`)) return;
    (await FileLock.tryAcquire(this.#lockOf(id)))?.remove();
  }

  #directoryOf(id: LayerId): string {
    return join(this.#directory, parseLayerId(id));
  }

  #lockOf(id: LayerId): string {
    return join(this.#directory, `${parseLayerId(id)}${lockSuffix}`);
  }

  #read(id: LayerId): FormRecord | undefined {
    return readFormRecord(join(this.#directoryOf(id), 'record'));
  }

  #write(id: LayerId, record: FormRecord): void {
    writeFormRecord(join(this.#directoryOf(id), 'record'), record);
  }
}
