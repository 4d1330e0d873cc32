import { readdirSync } from 'node:fs';
import { ArchiveWorkers, type AppliedLayer, type BlobSource, type WrittenBytes } from '@layerstore/archive';
import { hasCode, parseLayerId, StoreError, type LayerId, type OperationOptions } from '@layerstore/core';
import { layerDiffs, LayerViews, statePath, type GraphDriver, type LayerDiffs } from '@layerstore/drivers';
import { Mounter } from '@layerstore/linux';
import type { PathChange } from '../model.js';
import { pathChanges } from '../path-changes.js';
import { writeTarget, type Target } from '../target.js';
import { LayerStacks } from './layer-stacks.js';
import type { ComparedLayer, HomeInfo, HomeLayer, HomeLayerDetails } from './model.js';
import { mountPointsByName } from './mounted-layers.js';
import { openHomeDriver, refuseHomeOfRoot, type HomeTools, type OpenHomeOptions } from './open-home.js';

export type { OpenHomeOptions } from './open-home.js';

/**
 * The layers in a directory that a graph driver owns, also one that dockerd or podman made: to look into, to mount, to
 * export, and to build further layers in. No root and no database is needed.
 *
 * @example
 * ```ts
 * await using home = await LayerHome.open({ home: '/mnt/old-disk/docker/overlay2', access: 'read-only' });
 * for (const { id } of await home.layers()) console.log(id, await home.size(id));
 * ```
 */
export class LayerHome implements AsyncDisposable {
  readonly #diffs: LayerDiffs;
  readonly #views: LayerViews;

  private constructor(
    private readonly driver: GraphDriver,
    private readonly tools: HomeTools,
    private readonly options: OpenHomeOptions,
  ) {
    this.#diffs = layerDiffs(driver, tools);
    this.#views = new LayerViews(driver, tools.mounter);
  }

  /**
   * Opens the home of a driver. Unless it is read-only, what interrupted work has left in it is swept.
   * @throws StoreError ERR_NOT_FOUND, ERR_NOT_A_HOME, ERR_UNKNOWN_DRIVER, ERR_UNKNOWN_OPTION, ERR_READ_ONLY
   * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MISSING_PREREQUISITE, ERR_NEEDS_ROOT
   */
  static async open(options: OpenHomeOptions): Promise<LayerHome> {
    const logger = options.logger === undefined ? {} : { logger: options.logger };
    const tools = { mounter: new Mounter(logger), workers: new ArchiveWorkers(logger) };
    try {
      return new LayerHome(await openHomeDriver(options, tools), tools, options);
    } catch (error) {
      await tools.workers[Symbol.asyncDispose]();
      throw error;
    }
  }

  get driverName(): string {
    return this.driver.name;
  }

  /** Absolute, without symlinks. */
  get path(): string {
    return this.driver.home;
  }

  get access(): 'read-write' | 'read-only' {
    return this.options.access ?? 'read-write';
  }

  async info(): Promise<HomeInfo> {
    const layers = await this.layers();
    return {
      driver: this.driver.name,
      home: this.driver.home,
      access: this.access,
      state: this.driver.state,
      driverStatus: await this.driver.status(),
      layers: layers.length,
      mounts: layers.filter(({ mountedAt }) => mountedAt !== undefined).length,
    };
  }

  /** Every layer, sorted by id. Cost: a few small reads for each; with `sizes`, a walk of each. */
  async layers(options: OperationOptions & { readonly sizes?: boolean } = {}): Promise<HomeLayer[]> {
    const stacks = await LayerStacks.read(this.driver);
    const mounted = this.#mountPoints();
    const layers: HomeLayer[] = [];
    for (const id of stacks.layers) {
      const layer = summaryOf(id, stacks, mounted);
      const measured = options.sizes === true && layer.damaged === undefined;
      layers.push(measured ? { ...layer, size: await this.size(id, options) } : layer);
    }
    return layers;
  }

  /** @throws StoreError ERR_INVALID_ID, ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  async inspect(id: string): Promise<HomeLayerDetails> {
    const layer = await this.#require(id);
    const data = await this.driver.metadata(layer);
    const stacks = await LayerStacks.read(this.driver);
    return {
      ...summaryOf(layer, stacks, this.#mountPoints()),
      ancestors: stacks.ancestorsOf(layer),
      graphDriver: { name: this.driver.name, data },
    };
  }

  /**
   * Makes an empty, writable layer. Durable on return; the same again succeeds.
   * @throws StoreError ERR_EXISTS, ERR_LAYER_NOT_FOUND for the parent, ERR_MAX_DEPTH, ERR_READ_ONLY, ERR_NOT_SUPPORTED
   */
  async create(id: string, options: { readonly parent?: string } = {}): Promise<void> {
    refuseHomeOfRoot(this.path);
    const { parent } = options;
    await this.driver.createReadWrite(parseLayerId(id), parent === undefined ? {} : { parent: parseLayerId(parent) });
  }

  /**
   * Deletes a layer that nothing lies on.
   * @param options.force unmounts it first
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_LAYER_HAS_CHILDREN, ERR_BUSY, ERR_READ_ONLY, ERR_NOT_SUPPORTED
   */
  async remove(id: string, options: { readonly force?: boolean } = {}): Promise<void> {
    refuseHomeOfRoot(this.path);
    const layer = await this.#require(id);
    (await LayerStacks.read(this.driver)).requireChildless(layer);
    if (options.force === true) await this.unmount(layer);
    await this.driver.remove(layer);
  }

  /** The same ids in an order in which {@link remove} takes them. */
  async uppermostFirst(ids: readonly string[]): Promise<LayerId[]> {
    return (await LayerStacks.read(this.driver)).uppermostFirst(ids.map(parseLayerId));
  }

  /**
   * Makes the view of a layer and leaves it mounted, after this process has ended as well; one that is there is found.
   * Writable unless the home is read-only or another layer lies on this one.
   * @returns its path
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED, ERR_MOUNT_FAILED, ERR_BUSY
   */
  async mount(id: string): Promise<string> {
    return this.#views.mount(await this.#require(id));
  }

  /**
   * Takes away the view that {@link mount} left, also one that was mounted while the home was opened read-only. A layer that is
   * not mounted is no error.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_BUSY with the processes that use the view
   */
  async unmount(id: string): Promise<void> {
    const layer = await this.#require(id);
    await this.#views.unmount(layer);
    const state = statePath(this.path);
    if (this.driver.state === state || !this.#mountPoints().get(layer)?.startsWith(`${state}/`)) return;
    const readOnly = await openHomeDriver(
      { ...this.options, driver: this.driver.name, create: false, access: 'read-only' },
      this.tools,
    );
    await new LayerViews(readOnly, this.tools.mounter).unmount(layer);
  }

  /** What a layer adds, modifies and deletes, sorted by path. @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  async changes(id: string, options: ComparedLayer = {}): Promise<PathChange[]> {
    const layer = await this.#require(id);
    return pathChanges(await this.#diffs.changes(layer, await this.#parentOf(layer, options), runOptions(options)));
  }

  /** Bytes of file content that a layer adds. @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  async size(id: string, options: ComparedLayer = {}): Promise<number> {
    const layer = await this.#require(id);
    return this.#diffs.diffSize(layer, await this.#parentOf(layer, options), runOptions(options));
  }

  /**
   * Writes what a layer changed as an uncompressed layer tar. A file appears complete or not at all.
   * @returns the tar's size and its digest: the diff ID
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED, ERR_NO_SPACE, ERR_ABORTED
   */
  async diff(id: string, to: Target, options: ComparedLayer = {}): Promise<WrittenBytes> {
    const layer = await this.#require(id);
    const parent = await this.#parentOf(layer, options);
    return withProgress(options, `diff:${layer}`, `writing ${layer}`, (run) =>
      writeTarget(to, (target) => this.#diffs.diff(layer, parent, target, run)),
    );
  }

  /**
   * Unpacks a layer tar, plain or compressed, into a layer that is empty so far. Durable on return. After a failure the layer
   * is empty again, except with vfs, whose layers start as copies: there it is to be removed.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_EXISTS when the layer has content, ERR_BUSY, ERR_READ_ONLY, ERR_NOT_SUPPORTED
   * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_ARCHIVE_ESCAPE, ERR_TRUNCATED, ERR_LIMIT_EXCEEDED, ERR_NO_SPACE
   */
  async apply(id: string, source: BlobSource, options: OperationOptions = {}): Promise<AppliedLayer> {
    refuseHomeOfRoot(this.path);
    const layer = await this.#require(id);
    const { tree } = await this.driver.applyTarget(layer);
    const separate = tree.dialect !== 'complete';
    if (separate && readdirSync(tree.path).length > 0) {
      throw new StoreError('ERR_EXISTS', 'the layer has content; an archive is unpacked into an empty one', {
        subject: layer,
        hint: 'make a new layer with `layerstore layer create`',
      });
    }
    try {
      return await withProgress(options, `apply:${layer}`, `unpacking ${layer}`, (run) =>
        this.#diffs.applyDiff(layer, source, run),
      );
    } catch (error) {
      if (separate && !hasCode(error, 'ERR_BUSY')) await this.#makeAgain(layer);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tools.workers[Symbol.asyncDispose]();
    this.driver[Symbol.dispose]();
  }

  async #makeAgain(layer: LayerId): Promise<void> {
    const parent = await this.driver.parent(layer);
    await this.driver.remove(layer);
    await this.driver.createReadWrite(layer, parent === undefined ? {} : { parent });
  }

  async #require(id: string): Promise<LayerId> {
    const layer = parseLayerId(id);
    if (await this.driver.exists(layer)) return layer;
    throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.path}`, {
      subject: layer,
      hint: 'list those that there are with `layerstore layer ls`',
    });
  }

  async #parentOf(layer: LayerId, { parent }: ComparedLayer): Promise<LayerId | undefined> {
    if (parent === null) return undefined;
    return parent === undefined ? this.driver.parent(layer) : this.#require(parent);
  }

  #mountPoints(): Map<string, string> {
    return mountPointsByName([this.path, statePath(this.path)]);
  }
}

function summaryOf(id: LayerId, stacks: LayerStacks, mounted: ReadonlyMap<string, string>): HomeLayer {
  const [parent, mountedAt, damaged] = [stacks.parentOf(id), mounted.get(id), stacks.damaged.get(id)];
  return {
    id,
    ...(parent === undefined ? {} : { parent }),
    ...(mountedAt === undefined ? {} : { mountedAt }),
    ...(damaged === undefined ? {} : { damaged }),
  };
}

interface RunOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

function runOptions({ signal }: OperationOptions): RunOptions {
  return signal === undefined ? {} : { signal };
}

async function withProgress<Result>(
  options: OperationOptions,
  task: string,
  label: string,
  work: (run: RunOptions) => Promise<Result>,
): Promise<Result> {
  options.onProgress?.({ kind: 'start', task, label });
  const onProgress = (done: number): void => options.onProgress?.({ kind: 'advance', task, done });
  const result = await work({ ...runOptions(options), onProgress });
  options.onProgress?.({ kind: 'end', task, label, outcome: 'done' });
  return result;
}
