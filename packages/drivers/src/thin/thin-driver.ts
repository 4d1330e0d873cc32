/**
 * Thin images over `aufs` and `overlay2`: layers that are a list of layers in repositories.
 *
 * The home stays the driver's own; a thin layer is a layer with one file in it. What changes is the view of whatever lies above: there
 * the thin layer is replaced by the directories that it names. A stack without thin layers is left to the driver.
 */
import { StoreError, randomId, type IdMaps, type LayerId, type Logger } from '@layerstore/core';
import type { DiffSource, LayerTree } from '@layerstore/archive';
import type { MountPlan } from '@layerstore/linux';
import type {
  Abilities,
  ApplyTarget,
  CreateOptions,
  CreateReadWriteOptions,
  GraphDriver,
  HoldPurpose,
  PlanOptions,
  ViewOptions,
} from '../driver.js';
import { nothingHeld } from '../home/held.js';
import type { ForeignLayer, PlacedLayer, RestackingDriver } from '../restacking.js';
import type { LayerSource } from './layer-source.js';
import type { RecordedStarts } from './recorded-starts.js';
import { ReadFiles, type StartRecorder, type StartRecording } from './start-recording.js';
import type { OpenLayer, RepositoryLayers } from './repository-layers.js';
import type { ThinFile } from './thin-file.js';
import type { ThinLayers } from './thin-layers.js';
import { expandStack, type ExpandedStack } from './thin-stack.js';
import type { OpenRepositories, ViewUses } from './view-uses.js';

export interface ThinDriverParts {
  readonly driver: RestackingDriver;
  readonly source: LayerSource;
  readonly thin: ThinLayers;
  readonly uses: ViewUses;
  readonly repositoryLayers: RepositoryLayers;
  readonly starts: RecordedStarts;
  readonly logger: Logger | undefined;
}

export class ThinDriver implements GraphDriver, StartRecorder {
  readonly name: string;
  readonly home: string;
  readonly state: string;
  readonly abilities: Abilities;
  readonly idMaps: IdMaps | undefined;
  readonly #driver: RestackingDriver;

  constructor(private readonly parts: ThinDriverParts) {
    this.#driver = parts.driver;
    ({ name: this.name, home: this.home, state: this.state } = parts.driver);
    this.abilities = { ...parts.driver.abilities, lazy: true };
    this.idMaps = parts.driver.idMaps;
  }

  async create(id: LayerId, options: CreateOptions = {}): Promise<void> {
    await this.#refuseTooDeep(options.parent);
    await this.#driver.create(id, options);
  }

  async createReadWrite(id: LayerId, options: CreateReadWriteOptions = {}): Promise<void> {
    await this.#refuseTooDeep(options.parent);
    await this.#driver.createReadWrite(id, options);
    // Nothing that is written into it may pass for a thin layer; who was killed in between makes it again before he writes.
    this.parts.thin.markWritable(id);
  }

  async restore(id: LayerId, options?: CreateReadWriteOptions): Promise<void> {
    const isNew = !(await this.#driver.exists(id));
    await this.#driver.restore(id, options);
    if (isNew) this.parts.thin.markWritable(id);
  }

  async remove(id: LayerId): Promise<void> {
    await this.#driver.remove(id);
    this.parts.thin.unmark(id);
    this.parts.starts.forget(id);
    await this.parts.uses.forget(id);
  }

  exists(id: LayerId): Promise<boolean> {
    return this.#driver.exists(id);
  }

  parent(id: LayerId): Promise<LayerId | undefined> {
    return this.#driver.parent(id);
  }

  list(): Promise<LayerId[]> {
    return this.#driver.list();
  }

  /** Of a thin layer also what it stands for. @throws StoreError as {@link ThinLayers.read} does */
  async metadata(id: LayerId): Promise<Readonly<Record<string, string>>> {
    const metadata = await this.#driver.metadata(id);
    const file = await this.#thinFile(id);
    if (file === undefined) return metadata;
    return { ...metadata, ThinLayers: file.entries.map(({ url }) => url).join(' ') };
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    const { source, uses } = this.parts;
    const open = uses.repositories;
    return [
      ...(await this.#driver.status()),
      ['Thin Images', source.method],
      ['Thin Repositories In Use', open.length === 0 ? 'none' : open.join(' ')],
    ];
  }

  /**
   * Over thin layers, the plan names directories of repositories that some view of the layer has open by their paths, and others
   * by their URLs: those only {@link openView} can open.
   */
  async plan(id: LayerId, options: PlanOptions = {}): Promise<MountPlan> {
    const stack = await this.#stackUnder(id);
    if (stack.repositories.length === 0) return this.#driver.plan(id, options);
    const open = this.parts.uses.opened(id);
    if (open !== undefined) return this.#driver.planOver(id, await this.#lowers(stack, open), options, 'named');
    const { path } = await this.#driver.treeOf(id);
    return withLowers(await this.#driver.plan(id, options), path, unopened(stack));
  }

  async openView(id: LayerId, options: ViewOptions = {}): Promise<MountPlan> {
    const stack = await this.#stackUnder(id);
    const { use, ...planOptions } = options;
    if (stack.repositories.length === 0) return this.#driver.openView(id, options);
    this.#refuseDepth(stack, id);
    const { uses } = this.parts;
    const open = await uses.begin(id, stack.repositories, use);
    await this.#fetchAhead(id, open);
    try {
      return await this.#driver.planOver(id, await this.#lowers(stack, open), planOptions, 'made');
    } catch (error) {
      await uses.end(id, use?.name);
      throw error;
    }
  }

  async closeView(id: LayerId, use?: string): Promise<void> {
    await this.#driver.closeView(id, use);
    await this.parts.uses.end(id, use);
  }

  mountPoint(id: LayerId): string {
    return this.#driver.mountPoint(id);
  }

  async applyTarget(id: LayerId): Promise<ApplyTarget> {
    const target = await this.#driver.applyTarget(id);
    const stack = await this.#stackUnder(id);
    if (stack.repositories.length === 0) return target;
    return { ...target, lowers: await this.#trees(id, stack) };
  }

  async finishApply(id: LayerId): Promise<void> {
    await this.#driver.finishApply(id);
    // It came from an archive: now it may be a thin layer, and must be a valid one.
    this.parts.thin.unmark(id);
    if ((await this.#thinFile(id)) === undefined) return;
    const own: PlacedLayer = { kind: 'own', id, tree: await this.#driver.treeOf(id) };
    const stack = expandStack([own, ...(await this.#driver.layersUnder(id))], this.parts.thin);
    this.#refuseDepth(stack, id);
  }

  async diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined> {
    const source = await this.#driver.diffSource(id, parent);
    if (source === undefined) return undefined;
    const stack = await this.#stackUnder(id);
    if (stack.repositories.length === 0) return source;
    return { upper: source.upper, lowers: await this.#trees(id, stack) };
  }

  async hold(id: LayerId, purpose: HoldPurpose): Promise<AsyncDisposable> {
    if (purpose === 'archive') await this.#refusePlanted(id);
    const stack = await this.#stackUnder(id);
    // A thin layer is one file: no archive of it leaves anything to what lies below.
    const needsNothing = stack.repositories.length === 0 || (purpose === 'apply' && (await this.#isThin(id)));
    if (needsNothing) return nothingHeld;
    const name = `held-${randomId().slice(0, 32)}`;
    await this.parts.uses.begin(id, stack.repositories, { name, lifetime: 'process' });
    return { [Symbol.asyncDispose]: () => this.parts.uses.end(id, name) };
  }

  async recordStart(id: LayerId): Promise<StartRecording> {
    const { source, uses, starts } = this.parts;
    const stack = await this.#stackUnder(id);
    const [below] = await this.#driver.layersUnder(id);
    const open = uses.opened(id);
    if (stack.repositories.length === 0 || below === undefined || open === undefined) {
      throw new StoreError('ERR_NOT_SUPPORTED', 'nothing of a repository is shown: there is no start to record', {
        subject: id,
        hint: 'record the start of a thin image',
      });
    }
    const files = await ReadFiles.record(source, open, id);
    const entries = stack.layers.flatMap((layer) => (layer.kind === 'own' ? [] : [layer.entry]));
    return {
      finish: async () => {
        const lists = await files.end(entries);
        starts.write(below.id, lists);
        return Object.values(lists).reduce((sum, paths) => sum + paths.length, 0);
      },
    };
  }

  async cleanup(): Promise<void> {
    await this.#driver.cleanup();
    await this.parts.uses.sweep();
    const layers = new Set(await this.#driver.list());
    this.parts.thin.keepOnly((id) => layers.has(id));
    this.parts.starts.keepOnly((id) => layers.has(id));
    await this.parts.repositoryLayers.sweep(() => this.#namedLayers(layers));
  }

  [Symbol.dispose](): void {
    this.parts.uses[Symbol.dispose]();
    this.#driver[Symbol.dispose]();
  }

  /** The URLs in all thin layers of the home. @throws StoreError of a thin layer that cannot be read */
  async #namedLayers(ids: Iterable<LayerId>): Promise<ReadonlySet<string>> {
    const urls = new Set<string>();
    for (const id of ids) for (const { url } of (await this.#thinFile(id))?.entries ?? []) urls.add(url);
    return urls;
  }

  /** A start that was recorded is a hint: what goes wrong with it is told, and hinders nobody. */
  async #fetchAhead(id: LayerId, open: OpenRepositories): Promise<void> {
    const { source, starts, logger } = this.parts;
    const [below] = await this.#driver.layersUnder(id);
    if (below === undefined || source.recorder === undefined) return;
    for (const [repository, files] of Object.entries(starts.read(below.id))) {
      const revision = open.get(repository)?.revision;
      if (revision === undefined || files.length === 0) continue;
      try {
        await source.recorder.prefetch(repository, revision, files);
      } catch (error) {
        logger?.warn({ id, repository, error }, 'the recorded files of a start are not fetched ahead');
      }
    }
  }

  async #stackUnder(id: LayerId): Promise<ExpandedStack> {
    return expandStack(await this.#driver.layersUnder(id), this.parts.thin);
  }

  async #thinFile(id: LayerId): Promise<ThinFile | undefined> {
    return this.parts.thin.read(id, (await this.#driver.treeOf(id)).path);
  }

  async #isThin(id: LayerId): Promise<boolean> {
    return (await this.#thinFile(id)) !== undefined;
  }

  /** What a view shows, down to the first layer that hides everything below. */
  async #lowers({ layers }: ExpandedStack, open: OpenRepositories): Promise<(PlacedLayer | ForeignLayer)[]> {
    const lowers: (PlacedLayer | ForeignLayer)[] = [];
    for (const layer of layers) {
      const lower = layer.kind === 'own' ? layer : await this.#open(layer, open);
      lowers.push(lower);
      if (lower.kind === 'foreign' && lower.hidesAllBelow) break;
    }
    return lowers;
  }

  async #open(
    { entry }: Exclude<ExpandedStack['layers'][number], PlacedLayer>,
    open: OpenRepositories,
  ): Promise<OpenLayer> {
    const repository = open.get(entry.repository);
    if (repository !== undefined) return this.parts.repositoryLayers.open(entry, repository);
    throw new StoreError('ERR_INTERNAL', 'the repository of a layer is not open', { subject: entry.url });
  }

  /** The trees under a layer, for reading; those of repositories that are not held cannot be read. */
  async #trees(id: LayerId, stack: ExpandedStack): Promise<LayerTree[]> {
    const open = this.parts.uses.opened(id);
    return open === undefined ? unopened(stack) : (await this.#lowers(stack, open)).map(({ tree }) => tree);
  }

  async #refuseTooDeep(parent: LayerId | undefined): Promise<void> {
    if (parent === undefined || !(await this.#driver.exists(parent))) return;
    const own: PlacedLayer = { kind: 'own', id: parent, tree: await this.#driver.treeOf(parent) };
    const stack = expandStack([own, ...(await this.#driver.layersUnder(parent))], this.parts.thin);
    if (stack.repositories.length > 0) this.#refuseDepth(stack, parent);
  }

  /** @param stack what a layer lies over, or would @throws StoreError ERR_MAX_DEPTH */
  #refuseDepth({ layers }: ExpandedStack, subject: LayerId): void {
    if (layers.length < this.abilities.maxDepth) return;
    throw new StoreError(
      'ERR_MAX_DEPTH',
      `with what its thin layers stand for, the stack has ${layers.length} layers; ${this.name} mounts one over at most ${this.abilities.maxDepth - 1}`,
      { subject, hint: 'rebuild the image with fewer layers' },
    );
  }

  async #refusePlanted(id: LayerId): Promise<void> {
    const { path } = await this.#driver.treeOf(id);
    if (!this.parts.thin.isPlanted(id, path)) return;
    throw new StoreError(
      'ERR_NOT_SUPPORTED',
      'a program has written a thin.json and nothing else: as a layer, that would show the content of repositories',
      { subject: id, hint: 'delete /thin.json in the container, or load a thin image from an archive' },
    );
  }
}

/** What can be told of a stack whose repositories nobody has open. */
function unopened({ layers }: ExpandedStack): LayerTree[] {
  return layers.map((layer) =>
    layer.kind === 'own' ? layer.tree : { path: layer.entry.url, dialect: 'overlay' as const },
  );
}

function withLowers(plan: MountPlan, own: string, lowers: readonly LayerTree[]): MountPlan {
  const below = lowers.map(({ path }) => path);
  switch (plan.kind) {
    case 'overlay': {
      const { upper, options } = plan;
      const stack = upper === undefined ? [own, ...below] : below;
      return { kind: 'overlay', lowers: stack, ...(upper === undefined ? {} : { upper }), options };
    }
    case 'aufs':
      return { ...plan, branches: [own, ...below] };
    default:
      return plan;
  }
}
