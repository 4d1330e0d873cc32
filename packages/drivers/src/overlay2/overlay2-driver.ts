/**
 * `overlay2`: every layer is one directory of changes, joined by the kernel's overlay file system.
 *
 * The home is the one that Docker's driver of the same name keeps; {@link LayerRecords} has the picture. A layer is built
 * in staging, synced, and enters the home by one rename.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { fromSystemError, StoreError, type LayerId, type Owner } from '@layerstore/core';
import type { DiffSource, LayerTree } from '@layerstore/archive';
import { syncFile, type MountPlan } from '@layerstore/linux';
import type { Abilities, ApplyTarget, CreateReadWriteOptions, PlanOptions } from '../driver.js';
import type { StorageOptions } from '../driver-options.js';
import { HomeDriver, type NewLayer } from '../home/home-driver.js';
import { makeDirectory, makeFile, setOwnership, type Home } from '../home/home.js';
import type { SizeLimits } from '../home/size-limits.js';
import { copyRootAttributes } from '../home/root-attributes.js';
import type { ForeignLayer, PlacedLayer, RestackingDriver } from '../restacking.js';
import type { Readiness } from '../shadows/shaded-plans.js';
import { formatLower, LayerRecords, type LowerLayer } from './layer-records.js';
import { contextOption, readOnlyOptions } from './mount-options.js';
import type { OtherLowers } from './other-lowers.js';
import { RememberedRecords } from './remembered-records.js';
import { restoreLayer } from './restore-layer.js';
import { StoredOwners } from './stored-owners.js';
import { randomShortName } from './short-links.js';

/** Docker's limit: with short names, the options of a mount over so many layers fit into one page. */
const maxLowers = 128;

export interface Overlay2Parts {
  readonly home: Home;
  /** Options of every mount, from {@link overlayOptions}. */
  readonly mountOptions: readonly string[];
  readonly sizeLimits: SizeLimits;
  readonly records?: 'checked' | 'remembered';
  readonly otherLowers: OtherLowers;
}

interface NamedLayer extends NewLayer {
  readonly shortName: string;
  /** What lies below, uppermost first. */
  readonly lowers: readonly LowerLayer[];
}

export class Overlay2Driver extends HomeDriver implements RestackingDriver {
  readonly name = 'overlay2';
  readonly abilities: Abilities;
  readonly #records: LayerRecords;
  readonly #owners: StoredOwners;

  constructor(private readonly parts: Overlay2Parts) {
    super(parts.home);
    this.abilities = {
      independentLayers: true,
      nativeDiff: true,
      sizeRule: 'lstat',
      quota: parts.sizeLimits.areEnforced,
      lazy: false,
      maxDepth: maxLowers + 1,
    };
    this.#records = parts.records === 'remembered' ? new RememberedRecords(parts.home) : new LayerRecords(parts.home);
    this.#owners = new StoredOwners(parts.home, (id) => this.#records.directory(id));
  }

  override async restore(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    if (!this.#records.exists(id)) {
      this.#records.links.dropFor(id, undefined);
      await this.createReadWrite(id, { ...options, durability: 'synced' });
      return;
    }
    const { parent } = options;
    try {
      const lower = this.#lowersOver(parent).map(({ shortName }) => shortName);
      restoreLayer(this.#records, id, {
        lower,
        home: this.parts.home,
        makeRoot: (diff) => this.#makeRoot(diff, options),
      });
      if (parent !== undefined) this.#records.markCommitted(parent);
    } catch (error) {
      throw fromSystemError(error, this.#records.directory(id));
    }
  }

  override async remove(id: LayerId): Promise<void> {
    await super.remove(id);
    await this.parts.otherLowers.forget(id);
  }

  protected override namesOf(id: LayerId): () => void {
    const shortName = this.#records.recordedName(id);
    return () => {
      this.#records.links.dropFor(id, shortName);
      this.#records.forget(id);
    };
  }

  async parent(id: LayerId): Promise<LayerId | undefined> {
    return Promise.resolve(this.#records.parent(id));
  }

  async list(): Promise<LayerId[]> {
    return Promise.resolve(this.#records.list());
  }

  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    const lowers = this.#records.lowers(id).map((lower) => this.#records.file(lower.id, 'diff'));
    return Promise.resolve({
      ...(lowers.length === 0 ? {} : { LowerDir: lowers.join(':') }),
      MergedDir: this.mountPoint(id),
      UpperDir: this.#records.file(id, 'diff'),
      WorkDir: this.#records.file(id, 'work'),
    });
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    return Promise.resolve([
      ['Backing Filesystem', this.parts.home.backingFileSystem],
      ['Supports d_type', 'true'],
      ['Using metacopy', 'false'],
      ['Native Overlay Diff', 'true'],
      ['userxattr', String(this.parts.mountOptions.includes('userxattr'))],
      ['Mount Options', this.parts.mountOptions.join(',')],
      ['Mount Engine', 'kernel overlay'],
      ['Mount Engine Reason', 'a test mount in the home succeeded'],
      ['Maximum Depth', String(this.abilities.maxDepth)],
      ['Size Limits', this.parts.sizeLimits.summary],
    ]);
  }

  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    const lowers = this.#records.lowers(id);
    const own = this.#records.file(id, 'diff');
    // A layer from before its home had maps would get owners of the host through a view.
    const isForeign = this.#owners.areContainers(id);
    const readOnly =
      options.readOnly === true || this.parts.home.readOnly || this.#records.isCommitted(id) || isForeign;
    if (lowers.length === 0) {
      const maps = isForeign ? this.#owners.maps : {};
      return Promise.resolve(
        readOnly ? { kind: 'bind', source: own, readOnly, ...maps } : { kind: 'directory', path: own },
      );
    }
    const below = readOnly ? [{ id, shortName: this.#records.shortName(id) }, ...lowers] : lowers;
    const label = options.mountLabel ?? '';
    const mountOptions = readOnly ? readOnlyOptions(this.parts.mountOptions) : this.parts.mountOptions;
    return Promise.resolve({
      kind: 'overlay',
      lowers: below.map((lower) => `${this.home}/${lower.id}/diff`),
      ...(readOnly ? {} : { upper: this.parts.home.upper(own, this.#records.file(id, 'work')) }),
      options: label === '' ? mountOptions : [...mountOptions, contextOption(label)],
      short: { base: this.home, lowers: below.map((lower) => this.#records.mountName(lower)) },
      ...this.#owners.mapsFor(below.map((lower) => lower.id)),
    });
  }

  async layersUnder(id: LayerId): Promise<PlacedLayer[]> {
    const lowers = this.#records.lowers(id);
    return Promise.resolve(lowers.map((lower) => ({ kind: 'own', id: lower.id, tree: this.#tree(lower.id) })));
  }

  async treeOf(id: LayerId): Promise<LayerTree> {
    return Promise.resolve(this.#tree(id));
  }

  async planOver(
    id: LayerId,
    lowers: readonly (PlacedLayer | ForeignLayer)[],
    options: PlanOptions,
    readiness: Readiness,
  ): Promise<MountPlan> {
    const own: PlacedLayer = { kind: 'own', id, tree: this.#tree(id) };
    if (readiness === 'made' && this.parts.home.readOnly) this.parts.home.makeViewDirectory();
    return this.parts.otherLowers.replace(await this.plan(id, options), own, lowers, readiness);
  }

  protected targetOf(id: LayerId): ApplyTarget {
    return { tree: this.#tree(id), lowers: this.#treesUnder(id) };
  }

  protected override sizeLimit(options: StorageOptions | undefined): number | undefined {
    return this.parts.sizeLimits.forLayer(options);
  }

  protected directory(id: LayerId): string {
    return this.#records.directory(id);
  }

  protected ownMountPoint(id: LayerId): string {
    return this.#records.file(id, 'merged');
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined> {
    if (parent !== undefined) this.#records.requireLayer(parent);
    const [upper, lowers] = [this.#tree(id), this.#treesUnder(id)];
    const direct = parent === undefined ? undefined : this.#records.file(parent, 'diff');
    return Promise.resolve(lowers[0]?.path === direct ? { upper, lowers } : undefined);
  }

  override async cleanup(): Promise<void> {
    if (!this.parts.home.readOnly) this.#records.repairLinks();
    await super.cleanup();
    await this.parts.otherLowers.sweep(() => this.#records.list());
  }

  protected async make(id: LayerId, layer: NewLayer): Promise<boolean> {
    const { durability = 'synced', parent } = layer;
    const lowers = this.#lowersOver(parent);
    const shortName = randomShortName();
    const made = await this.parts.home.publish(
      id,
      this.#records.directory(id),
      async (directory) => {
        // Before anything is in it: what is made later belongs to the same project.
        if (layer.sizeLimit !== undefined) await this.parts.sizeLimits.limit(directory, layer.sizeLimit);
        const written = this.#build(directory, { ...layer, lowers, shortName });
        if (durability === 'synced') for (const path of written) syncFile(path);
      },
      { durability, afterRename: () => this.#records.links.make(shortName, id, durability) },
    );
    if (made) this.#records.remember(id, shortName, lowers);
    return made;
  }

  /** Everything in a layer's directory. @returns what has to be synced, in order */
  #build(directory: string, layer: NamedLayer): string[] {
    const { shortName, lowers, parent } = layer;
    setOwnership(directory, 0o710, this.parts.home.passage);
    this.#makeRoot(`${directory}/diff`, layer);
    makeFile(`${directory}/link`, shortName, 0o644);
    const written = ['link', 'diff', '.'].map((name) => `${directory}/${name}`);
    if (parent !== undefined) {
      makeDirectory(`${directory}/work`, 0o700, this.parts.home.rootOwner);
      makeFile(`${directory}/lower`, formatLower(lowers.map((lower) => lower.shortName)), 0o644);
      // Before the child is visible: a parent that went on being an upper would change under it.
      this.#records.markCommitted(parent);
      written.unshift(`${directory}/lower`, `${directory}/work`);
      written.push(this.#records.file(parent, 'committed'), this.#records.directory(parent));
    }
    return written;
  }

  /** The root of a layer's own tree. */
  #makeRoot(diff: string, { root, parent }: CreateReadWriteOptions): void {
    if (root !== undefined) {
      const inherited = this.#ownerOver(parent);
      makeDirectory(diff, root.mode, root.owner?.(inherited) ?? inherited);
      return;
    }
    makeDirectory(diff, 0o755, this.parts.home.rootOwner);
    if (parent !== undefined) {
      copyRootAttributes(this.#records.file(parent, 'diff'), diff, this.#owners.toHost(parent));
    }
  }

  #ownerOver(parent: LayerId | undefined): Owner {
    if (parent === undefined) return this.parts.home.rootOwner ?? { uid: 0, gid: 0 };
    const { uid, gid } = lstatSync(this.#records.file(parent, 'diff'));
    return this.#owners.toHost(parent)({ uid, gid });
  }

  protected differsFromNew(id: LayerId, parent: LayerId | undefined): string | undefined {
    const direct = this.#records.lowers(id)[0]?.id;
    if (direct !== parent) return `over ${direct ?? 'no parent'}`;
    const hasContent = this.#records.isCommitted(id) || readdirSync(this.#records.file(id, 'diff')).length > 0;
    return hasContent ? 'with content' : undefined;
  }

  /** What a layer over `parent` lies over, uppermost first. */
  #lowersOver(parent: LayerId | undefined): LowerLayer[] {
    if (parent === undefined) return [];
    const lowers = this.#records.lowers(parent);
    if (lowers.length < maxLowers) return [{ id: parent, shortName: this.#records.shortName(parent) }, ...lowers];
    throw new StoreError(
      'ERR_MAX_DEPTH',
      `a layer over it would lie over ${lowers.length + 1} layers; overlay2 mounts at most ${maxLowers}`,
      { subject: parent, hint: 'export the view and import it as one layer' },
    );
  }

  #treesUnder(id: LayerId): LayerTree[] {
    return this.#records.lowers(id).map((lower) => this.#tree(lower.id));
  }

  #tree(id: LayerId): LayerTree {
    this.#records.requireLayer(id);
    const path = this.#records.file(id, 'diff');
    return this.#owners.areContainers(id) ? { path, dialect: 'overlay' } : this.parts.home.tree(path, 'overlay');
  }
}
