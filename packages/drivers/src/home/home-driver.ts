import { fromSystemError, StoreError, type IdMaps, type LayerId } from '@layerstore/core';
import type { DiffSource } from '@layerstore/archive';
import type { MountPlan } from '@layerstore/linux';
import type {
  Abilities,
  ApplyTarget,
  CreateOptions,
  CreateReadWriteOptions,
  GraphDriver,
  PlanOptions,
} from '../driver.js';
import { checkStorageOptions, noProjectQuotas, type StorageOptions } from '../driver-options.js';
import { nothingHeld } from './held.js';
import type { Home } from './home.js';
import { isDirectory } from './optional-file.js';

/** What a layer is made with. */
export interface NewLayer extends CreateReadWriteOptions {
  /** In bytes. */
  readonly sizeLimit: number | undefined;
}

/**
 * What the drivers have in common that keep a layer in one directory: how layers are made, made again, refused and removed, and what
 * a home that is only read takes. A driver says what a layer consists of, and how its view is mounted.
 */
export abstract class HomeDriver implements GraphDriver {
  abstract readonly name: string;
  abstract readonly abilities: Abilities;
  readonly home: string;
  readonly state: string;
  readonly idMaps: IdMaps | undefined;

  constructor(protected readonly directories: Home) {
    this.home = directories.path;
    this.state = directories.state;
    this.idMaps = directories.idMaps;
  }

  abstract list(): Promise<LayerId[]>;
  abstract parent(id: LayerId): Promise<LayerId | undefined>;
  abstract metadata(id: LayerId): Promise<Readonly<Record<string, string>>>;
  abstract status(): Promise<readonly (readonly [string, string])[]>;
  abstract plan(id: LayerId, options?: PlanOptions): Promise<MountPlan>;
  abstract diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined>;

  /** The directory of a layer, there or not. @throws StoreError ERR_INVALID_ID */
  protected abstract directory(id: LayerId): string;
  /** Where a layer is mounted in a home that may be written. */
  protected abstract ownMountPoint(id: LayerId): string;
  /** Makes a layer over one that is there. @returns false when another process has made it meanwhile */
  protected abstract make(id: LayerId, layer: NewLayer): Promise<boolean>;
  /** How a layer differs from what {@link make} leaves, as the end of a sentence; `undefined` for one that is untouched. */
  protected abstract differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined;
  /** {@link applyTarget} of a layer that may be written. */
  protected abstract targetOf(id: LayerId): ApplyTarget | Promise<ApplyTarget>;

  async create(id: LayerId, options: CreateOptions = {}): Promise<void> {
    await this.#create(id, { ...options, sizeLimit: undefined });
  }

  async createReadWrite(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    await this.#create(id, { ...options, sizeLimit: this.sizeLimit(options.storageOptions) });
  }

  /** Layers are synced when they are made, so one that is there is whole. */
  async restore(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    if (!(await this.exists(id))) await this.createReadWrite(id, options);
  }

  async remove(id: LayerId): Promise<void> {
    const directory = this.directory(id);
    try {
      if (this.isThere(id)) await this.directories.retire(id, directory, this.namesOf(id));
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async exists(id: LayerId): Promise<boolean> {
    return Promise.resolve(this.isThere(id));
  }

  async openView(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    if (this.directories.readOnly) this.directories.makeViewDirectory();
    return this.plan(id, options);
  }

  async closeView(id: LayerId, _use?: string): Promise<void> {
    this.directory(id);
    return Promise.resolve();
  }

  async hold(id: LayerId): Promise<AsyncDisposable> {
    this.directory(id);
    return Promise.resolve(nothingHeld);
  }

  mountPoint(id: LayerId): string {
    const own = this.ownMountPoint(id);
    return this.directories.readOnly ? this.directories.viewPoint(id) : own;
  }

  async applyTarget(id: LayerId): Promise<ApplyTarget> {
    this.directories.requireWritable(id);
    return this.targetOf(id);
  }

  async finishApply(id: LayerId): Promise<void> {
    await this.applyTarget(id);
  }

  async cleanup(): Promise<void> {
    await this.directories.sweep();
  }

  [Symbol.dispose](): void {
    // Nothing is held between calls.
  }

  /** Reads what `--storage-opt` of a single layer holds; a driver with limits gives bytes. */
  protected sizeLimit(options: StorageOptions | undefined): number | undefined {
    checkStorageOptions(options, { driver: this.name, ignored: [], refused: { size: noProjectQuotas } });
    return undefined;
  }

  protected isThere(id: LayerId): boolean {
    return isDirectory(this.directory(id));
  }

  /** Drops what else names a layer, when its directory is gone. */
  protected namesOf(_id: LayerId): (() => void) | undefined {
    return undefined;
  }

  /** @returns the layer's directory @throws StoreError ERR_LAYER_NOT_FOUND */
  protected requireLayer(id: LayerId): string {
    if (this.isThere(id)) return this.directory(id);
    throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.home}`, { subject: id });
  }

  async #create(id: LayerId, layer: NewLayer): Promise<void> {
    const directory = this.directory(id);
    try {
      if (layer.parent !== undefined) this.requireLayer(layer.parent);
      if (!this.isThere(id) && (await this.make(id, layer))) return;
      const difference = this.differsFromNew(id, layer.parent);
      if (difference === undefined) return;
      throw new StoreError('ERR_EXISTS', `a layer of this name exists, ${difference}`, { subject: id });
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }
}
