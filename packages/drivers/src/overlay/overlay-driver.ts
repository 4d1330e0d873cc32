/**
 * `overlay`: every layer of an image is a complete tree, whose files are hard links to those of its parent; a container's is a
 * directory of changes over one such tree, joined by the kernel's overlay file system.
 *
 * The home is the one that Docker's driver of the same name kept until 23.0; {@link OverlayRecords} has the picture. Hard links
 * are what makes it delicate: a file that is written in place changes in every layer that shares it. So archives are unpacked
 * beside the tree, as changes, and only the finished layer is completed; and a tree takes no writes from the moment that
 * another layer may share it.
 */
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, reachedStep, type LayerId } from '@layerstore/core';
import { findChanges, type DiffSource, type LayerTree } from '@layerstore/archive';
import { syncDirectory, syncFile, type MountPlan } from '@layerstore/linux';
import type { Abilities, ApplyTarget, PlanOptions } from '../driver.js';
import { makeDirectory, makeFile, setOwnership, type Home } from '../home/home.js';
import { HomeDriver, type NewLayer } from '../home/home-driver.js';
import { refuseInUse } from '../home/in-use.js';
import { copyRootAttributes } from '../home/root-attributes.js';
import { contextOption, readOnlyOptions } from '../overlay2/mount-options.js';
import { OverlayRecords, type ChangesLayer, type OverlayLayer } from './overlay-records.js';
import { UnsharedLayers } from './unshared-layers.js';

export interface OverlayParts {
  readonly home: Home;
  /** Options of every mount. */
  readonly mountOptions: readonly string[];
  /** Only homes from before 2017 may lack it. */
  readonly supportsDirectoryTypes: boolean;
}

export class OverlayDriver extends HomeDriver {
  readonly name = 'overlay';
  readonly abilities: Abilities = {
    independentLayers: false,
    nativeDiff: false,
    sizeRule: 'tar-headers',
    quota: false,
    lazy: false,
    maxDepth: Infinity,
  };
  readonly #records: OverlayRecords;
  readonly #unshared: UnsharedLayers;

  constructor(private readonly parts: OverlayParts) {
    super(parts.home);
    this.#records = new OverlayRecords(parts.home.path);
    this.#unshared = new UnsharedLayers(parts.home.state);
  }

  /** Docker records the layer whose tree lies below; a layer that is complete no longer tells what it came from. */
  async parent(id: LayerId): Promise<LayerId | undefined> {
    const layer = this.#records.read(id);
    return Promise.resolve(layer.form === 'changes' ? layer.lower : undefined);
  }

  async list(): Promise<LayerId[]> {
    return Promise.resolve(this.#records.list());
  }

  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    const layer = this.#records.read(id);
    return Promise.resolve(
      layer.form === 'complete'
        ? { RootDir: layer.root }
        : {
            LowerDir: layer.lowerRoot,
            MergedDir: this.#records.file(id, 'merged'),
            UpperDir: layer.upper,
            WorkDir: layer.work,
          },
    );
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    return Promise.resolve([
      ['Backing Filesystem', this.directories.backingFileSystem],
      ['Supports d_type', String(this.parts.supportsDirectoryTypes)],
      ['Mount Options', this.parts.mountOptions.join(',')],
      ['Mount Engine', 'kernel overlay'],
      ['Mount Engine Reason', 'a test mount in the home succeeded'],
      ['Maximum Depth', 'none: a container lies over one complete tree'],
    ]);
  }

  /** A tree that other layers may share is shown read-only, whatever is asked for. */
  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    const layer = this.#records.read(id);
    const readOnly = options.readOnly === true || this.directories.readOnly;
    if (layer.form === 'complete') {
      const writable = !readOnly && this.#unshared.has(id);
      return Promise.resolve(
        writable ? { kind: 'directory', path: layer.root } : { kind: 'bind', source: layer.root, readOnly: true },
      );
    }
    const label = options.mountLabel ?? '';
    const mountOptions = readOnly ? readOnlyOptions(this.parts.mountOptions) : this.parts.mountOptions;
    return Promise.resolve({
      kind: 'overlay',
      lowers: readOnly ? [layer.upper, layer.lowerRoot] : [layer.lowerRoot],
      ...(readOnly ? {} : { upper: this.directories.upper(layer.upper, layer.work) }),
      options: label === '' ? mountOptions : [...mountOptions, contextOption(label)],
    });
  }

  /** A layer over one that is no image starts with content, to which an archive can be applied through the view only. */
  protected targetOf(id: LayerId): ApplyTarget {
    const layer = this.#records.read(id);
    if (layer.form === 'complete') return { tree: this.#tree(layer.root), lowers: [] };
    const target = { tree: this.#changes(layer.upper), lowers: [this.#tree(layer.lowerRoot)] };
    return readdirSync(layer.upper).length === 0 ? target : { ...target, through: 'view' };
  }

  /** Gives an image's layer its complete tree, by one rename; the view is the same before and after. */
  override async finishApply(id: LayerId): Promise<void> {
    const directory = this.#records.directory(id);
    try {
      const layer = this.#records.read(id);
      if (layer.form === 'changes') await this.#complete(id, layer);
      await this.#dropRest(id);
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined> {
    const layer = this.#records.read(id);
    const below = parent === undefined ? undefined : this.#records.read(parent);
    return Promise.resolve(this.#inPlace(layer, below));
  }

  override async cleanup(): Promise<void> {
    if (!this.directories.readOnly) {
      for (const id of this.#records.list()) await this.#dropRest(id);
      this.#unshared.sweep((id) => this.#records.exists(id));
    }
    await super.cleanup();
  }

  protected directory(id: LayerId): string {
    return this.#records.directory(id);
  }

  protected ownMountPoint(id: LayerId): string {
    return this.#records.file(id, 'merged');
  }

  protected override namesOf(id: LayerId): () => void {
    return () => this.#unshared.drop(id);
  }

  protected async make(id: LayerId, { parent }: NewLayer): Promise<boolean> {
    return this.directories.publish(id, this.#records.directory(id), async (directory) => {
      setOwnership(directory, 0o700, this.directories.rootOwner);
      if (parent === undefined) this.#buildBase(id, directory);
      else await this.#buildChanges(directory, parent, this.#records.read(parent));
    });
  }

  #buildBase(id: LayerId, directory: string): void {
    makeDirectory(join(directory, 'root'), 0o755, this.directories.rootOwner);
    syncFile(join(directory, 'root'));
    syncFile(directory);
    this.#unshared.add(id);
  }

  /** Over an image: no changes. Over a container's layer: a copy of its changes, over the same image. */
  async #buildChanges(directory: string, parent: LayerId, below: OverlayLayer): Promise<void> {
    const [upper, work, lowerId] = ['upper', 'work', 'lower-id'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    if (below.form === 'complete') {
      makeDirectory(upper, 0o755);
      copyRootAttributes(below.root, upper);
      // Before the child is visible: when it is complete, it shares the files.
      this.#unshared.drop(parent);
    } else {
      await this.directories.trees.copy(below.upper, upper);
      await this.directories.trees.sync(upper);
    }
    makeDirectory(work, 0o700, this.directories.rootOwner);
    makeFile(lowerId, below.form === 'complete' ? parent : below.lower, 0o600);
    for (const path of [upper, work, lowerId, directory]) syncFile(path);
  }

  protected differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined {
    const layer = this.#records.read(id);
    const below = parent === undefined ? undefined : this.#records.read(parent);
    if (below === undefined) {
      if (layer.form === 'complete' && this.#unshared.has(id) && readdirSync(layer.root).length === 0) return undefined;
    } else if (layer.form === 'changes') {
      const expected = below.form === 'complete' ? parent : below.lower;
      const untouched = below.form === 'complete' ? readdirSync(layer.upper).length === 0 : sameChanges(layer, below);
      if (layer.lower === expected && untouched) return undefined;
    }
    return 'over another parent or with content';
  }

  async #complete(id: LayerId, layer: ChangesLayer): Promise<void> {
    const directory = this.#records.directory(id);
    refuseInUse(id, directory);
    await using staged = await this.directories.staging.enter();
    const root = staged.entry('root');
    await this.directories.trees.linkView([this.#changes(layer.upper), this.#tree(layer.lowerRoot)], root);
    await this.directories.trees.sync(root);
    reachedStep('driver.complete.built', id);
    renameSync(root, this.#records.file(id, 'root'));
    syncDirectory(directory);
    reachedStep('driver.complete.renamed', id);
  }

  async #dropRest(id: LayerId): Promise<void> {
    const directory = this.#records.directory(id);
    const rest = this.#records.rest(id);
    for (const name of rest) {
      if (name === 'lower-id') rmSync(join(directory, name), { force: true });
      else await this.#delete(join(directory, name));
    }
    if (rest.length > 0) syncDirectory(directory);
  }

  async #delete(path: string): Promise<void> {
    await using _taken = await this.directories.staging.takeIn(path);
  }

  /** Complete trees, and changes over exactly this parent, are compared where they lie; anything else through views. */
  #inPlace(layer: OverlayLayer, below: OverlayLayer | undefined): DiffSource | undefined {
    if (below?.form === 'changes') return undefined;
    if (layer.form === 'complete') {
      return { upper: this.#tree(layer.root), lowers: below === undefined ? [] : [this.#tree(below.root)] };
    }
    if (below?.root !== layer.lowerRoot) return undefined;
    return { upper: this.#changes(layer.upper), lowers: [this.#tree(layer.lowerRoot)] };
  }

  #tree(path: string): LayerTree {
    return this.directories.tree(path, 'complete');
  }

  #changes(path: string): LayerTree {
    return this.directories.tree(path, 'overlay');
  }
}

function sameChanges(one: ChangesLayer, other: ChangesLayer): boolean {
  const found = findChanges({
    upper: { path: one.upper, dialect: 'complete' },
    lowers: [{ path: other.upper, dialect: 'complete' }],
  });
  return found[Symbol.iterator]().next().done === true;
}
