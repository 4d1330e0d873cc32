/**
 * `aufs`: every layer is one directory of changes, with whiteouts as files. The home is the one that Docker's driver of the
 * same name keeps ({@link LayerRecords} has the picture); it is opened, mounted and written without an aufs kernel as well.
 */
import { readdirSync } from 'node:fs';
import { fromSystemError, StoreError, type LayerId, type Logger } from '@layerstore/core';
import type { DiffSource, LayerTree } from '@layerstore/archive';
import { MAX_AUFS_BRANCHES, type MountPlan } from '@layerstore/linux';
import type { Abilities, ApplyTarget, PlanOptions } from '../driver.js';
import { checkStorageOptions, type StorageOptions } from '../driver-options.js';
import type { Home } from '../home/home.js';
import { HomeDriver, type NewLayer } from '../home/home-driver.js';
import type { ForeignLayer, PlacedLayer, RestackingDriver } from '../restacking.js';
import type { Readiness } from '../shadows/shaded-plans.js';
import type { ChosenEngine } from './engine.js';
import type { LayerFolders } from './layer-folders.js';
import type { LayerRecords } from './layer-records.js';
import type { OverlayForms } from './overlay-forms.js';
import type { Shadows } from '../shadows/shadows.js';
import type { ShortNames } from '../shadows/short-names.js';
import type { ViewPlans } from './view-plans.js';

export interface AufsParts {
  readonly home: Home;
  readonly chosen: ChosenEngine;
  /** Absent where aufs is not the engine: then nobody knows. */
  readonly dirperm1: boolean | undefined;
  readonly records: LayerRecords;
  readonly folders: LayerFolders;
  readonly forms: OverlayForms;
  readonly shadows: Shadows;
  readonly shortNames: ShortNames;
  readonly plans: ViewPlans;
  readonly logger: Logger | undefined;
}

export class AufsDriver extends HomeDriver implements RestackingDriver {
  readonly name = 'aufs';
  readonly abilities: Abilities = {
    independentLayers: true,
    nativeDiff: true,
    sizeRule: 'lstat',
    quota: false,
    lazy: false,
    maxDepth: MAX_AUFS_BRANCHES,
  };

  constructor(private readonly parts: AufsParts) {
    super(parts.home);
  }

  override async remove(id: LayerId): Promise<void> {
    const { records, folders, home } = this.parts;
    const directory = records.path('diff', id);
    home.requireWritable(id);
    try {
      if (records.exists(id)) await folders.remove(id);
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async parent(id: LayerId): Promise<LayerId | undefined> {
    return Promise.resolve(this.parts.records.parents(id)[0]);
  }

  async list(): Promise<LayerId[]> {
    return Promise.resolve(this.parts.records.list());
  }

  /** Docker's driver tells nothing here. */
  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    this.parts.records.requireLayer(id);
    return Promise.resolve({});
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    const { home, chosen, dirperm1, records } = this.parts;
    return Promise.resolve([
      ['Root Dir', home.path],
      ['Backing Filesystem', home.backingFileSystem],
      ['Dirs', String(records.list().length)],
      ['Dirperm1 Supported', String(dirperm1 ?? chosen.engine !== 'aufs')],
      ['Mount Engine', chosen.engine === 'fuse-overlayfs' ? 'fuse-overlayfs (read-only)' : chosen.engine],
      ['Engine Reason', chosen.reason],
      ['Maximum Depth', String(this.abilities.maxDepth)],
    ]);
  }

  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    return this.parts.plans.describe(id, options);
  }

  override async openView(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    try {
      return await this.parts.plans.prepare(id, options);
    } catch (error) {
      throw fromSystemError(error, this.parts.records.path('diff', id));
    }
  }

  override async closeView(id: LayerId, use?: string): Promise<void> {
    const { home, forms, folders } = this.parts;
    if (use !== undefined || home.readOnly || !this.parts.records.exists(id)) return;
    try {
      await forms.close(id);
      // The mounter takes empty mount points away; Docker never makes them again.
      folders.restoreMountPoint(id);
    } catch (error) {
      throw fromSystemError(error, this.parts.records.path('diff', id));
    }
  }

  async layersUnder(id: LayerId): Promise<PlacedLayer[]> {
    const parents = this.parts.records.parents(id);
    return Promise.all(parents.map(async (layer) => ({ kind: 'own', id: layer, tree: await this.treeOf(layer) })));
  }

  async treeOf(id: LayerId): Promise<LayerTree> {
    this.parts.records.requireLayer(id);
    return this.parts.plans.tree(id);
  }

  async planOver(
    id: LayerId,
    lowers: readonly (PlacedLayer | ForeignLayer)[],
    options: PlanOptions,
    readiness: Readiness,
  ): Promise<MountPlan> {
    try {
      return await this.parts.plans.over(id, lowers, options, readiness);
    } catch (error) {
      throw fromSystemError(error, this.parts.records.path('diff', id));
    }
  }

  protected directory(id: LayerId): string {
    return this.parts.records.path('diff', id);
  }

  protected ownMountPoint(id: LayerId): string {
    return this.parts.records.path('mnt', id);
  }

  protected override isThere(id: LayerId): boolean {
    return this.parts.records.exists(id);
  }

  protected override sizeLimit(options: StorageOptions | undefined): undefined {
    checkStorageOptions(options, { driver: this.name, ignored: [], refused: { size: 'aufs has no quotas' } });
  }

  protected async make(id: LayerId, { parent }: NewLayer): Promise<boolean> {
    this.parts.home.requireWritable(id);
    return this.parts.folders.make(id, parent === undefined ? [] : this.#stackOver(parent));
  }

  protected async targetOf(id: LayerId): Promise<ApplyTarget> {
    const { records, forms, shadows } = this.parts;
    const parents = records.parents(id);
    // One that was left in overlay form by a dead process takes archives only in its own.
    if (forms.formOf(id) === 'overlay') await forms.close(id);
    const tree = await this.parts.plans.tree(id);
    const lowers = await this.parts.plans.trees(parents);
    return { tree: tree.dialect === 'aufs' ? { ...tree, markerList: shadows.markerList(id) } : tree, lowers };
  }

  override async finishApply(id: LayerId): Promise<void> {
    this.parts.records.requireLayer(id);
    return Promise.resolve();
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined> {
    const { records, plans } = this.parts;
    if (parent !== undefined) records.requireLayer(parent);
    const parents = records.parents(id);
    if (parents[0] !== parent) return undefined;
    return { upper: await plans.tree(id), lowers: await plans.trees(parents) };
  }

  override [Symbol.dispose](): void {
    this.parts.forms[Symbol.dispose]();
  }

  override async cleanup(): Promise<void> {
    const { home, forms, folders, shadows, shortNames, logger } = this.parts;
    if (!home.readOnly) {
      await forms.closeAll((id, error) => {
        logger?.warn({ id, error }, 'the layer stays in overlay form');
      });
      await folders.sweep();
    }
    await super.cleanup();
    await shadows.sweep(this.parts.records.list());
    shortNames.sweep();
  }

  /** The parents of a layer over `parent`. @throws StoreError ERR_MAX_DEPTH */
  #stackOver(parent: LayerId): LayerId[] {
    const stack = [parent, ...this.parts.records.parents(parent)];
    if (stack.length < this.abilities.maxDepth) return stack;
    throw new StoreError(
      'ERR_MAX_DEPTH',
      `a layer over it would be the ${stack.length + 1}th of its stack; aufs mounts at most ${this.abilities.maxDepth} branches`,
      { subject: parent, hint: 'export the view and import it as one layer' },
    );
  }

  protected differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined {
    const { records } = this.parts;
    const direct = records.parents(id)[0];
    if (direct !== parent) return `over ${direct ?? 'no parent'}`;
    if (records.children.of(id) !== undefined) return 'with a child';
    return readdirSync(records.path('diff', id)).length > 0 ? 'with content' : undefined;
  }
}
