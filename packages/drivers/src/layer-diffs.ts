/**
 * Changes, diffs and sizes of layers for any driver: what the engines call the DiffDriver.
 *
 * Where the driver knows the two trees ({@link GraphDriver.diffSource}) they are read in place. Otherwise, and whenever the
 * named parent is not the layer's own, both views are mounted read-only in staging and compared whole.
 */
import { parseLayerId, randomId, type LayerId, type Logger } from '@layerstore/core';
import type {
  AppliedLayer,
  ArchiveWorkers,
  BlobSource,
  Change,
  DiffSource,
  LayerTree,
  RunJobOptions,
  TarRules,
  WriteTarget,
  WrittenBytes,
} from '@layerstore/archive';
import type { Mounter } from '@layerstore/linux';
import type { ApplyTarget, GraphDriver } from './driver.js';
import { HomeStaging } from './home/home-staging.js';
import { refuseInUse } from './home/in-use.js';
import { treeWork } from './home/tree-work.js';
import { settleLayer } from './settle-layer.js';

export interface LayerDiffTools {
  readonly workers: ArchiveWorkers;
  readonly mounter: Mounter;
  /** Told of what an archive asks for and a layer cannot have. */
  readonly logger?: Logger;
}

export interface DiffOptions extends RunJobOptions {
  /**
   * `layerstore`, the default: all that layers can hold, and only what differs. `docker`: the bytes that Docker's driver of
   * the same name writes.
   */
  readonly tarRules?: TarRules;
}

export interface AppliedDiff extends AppliedLayer {
  /** By the driver's `sizeRule`: what an engine is told. */
  readonly size: number;
}

/** The diff part of a driver. */
export function layerDiffs(driver: GraphDriver, tools: LayerDiffTools): LayerDiffs {
  return new LayerDiffs(driver, tools);
}

export class LayerDiffs {
  readonly #staging: HomeStaging;

  constructor(
    private readonly driver: GraphDriver,
    private readonly tools: LayerDiffTools,
  ) {
    this.#staging = new HomeStaging(driver.state, treeWork(tools.workers));
  }

  /**
   * What `id` adds, modifies and deletes over `parent`, sorted by path. Without a parent everything is an addition.
   * Cost: one comparison for each entry of the layer; with another parent than its own, of the whole view.
   * @throws StoreError ERR_LAYER_NOT_FOUND
   */
  async changes(id: LayerId, parent: LayerId | undefined, options: RunJobOptions = {}): Promise<readonly Change[]> {
    await using _held = await this.driver.hold(parseLayerId(id), 'comparison');
    const found = await this.#compare(id, parent, (diff) => this.tools.workers.run({ kind: 'changes', diff }, options));
    // Buffers come out of worker threads as plain byte arrays.
    return found.map(({ kind, path }) => ({ kind, path: Buffer.from(path) }));
  }

  /** The size of the changes, by the driver's `sizeRule`. @throws StoreError ERR_LAYER_NOT_FOUND */
  async diffSize(id: LayerId, parent: LayerId | undefined, options: RunJobOptions = {}): Promise<number> {
    const wholeDirectory = this.driver.abilities.sizeRule === 'lstat';
    await using _held = await this.driver.hold(parseLayerId(id), 'comparison');
    return await this.#compare(id, parent, (diff) => {
      const changesOnly = diff.upper.dialect !== 'complete';
      return this.#size(wholeDirectory && changesOnly ? { upper: diff.upper, lowers: [] } : diff, options);
    });
  }

  /**
   * Writes the changes as an uncompressed layer tar. Without a parent, the tar holds the whole view.
   * @returns the tar's size in bytes and its digest, which is the layer's diff ID
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_NO_SPACE
   */
  async diff(
    id: LayerId,
    parent: LayerId | undefined,
    to: WriteTarget,
    { tarRules = 'layerstore', ...options }: DiffOptions = {},
  ): Promise<WrittenBytes> {
    const use = (diff: DiffSource): Promise<WrittenBytes> =>
      this.tools.workers.run({ kind: 'diff', diff, to, tarRules }, options);
    await using _held = await this.driver.hold(parseLayerId(id), 'archive');
    // What Docker's driver compares as views is compared so for its bytes, too.
    return await (tarRules === 'layerstore' || this.driver.abilities.nativeDiff
      ? this.#compare(id, parent, use)
      : this.#compareComplete(id, parent, use));
  }

  /**
   * Unpacks a layer tar, plain or compressed, into a layer that is empty so far. Durable on return. After a failure the
   * layer may hold a part of the archive: remove it.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_BUSY while the layer is mounted
   * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_ARCHIVE_ESCAPE, ERR_TRUNCATED, ERR_LIMIT_EXCEEDED, ERR_NO_SPACE
   */
  async applyDiff(id: LayerId, source: BlobSource, options: RunJobOptions = {}): Promise<AppliedDiff> {
    const target = await this.driver.applyTarget(id);
    refuseInUse(id, target.tree.path, this.driver.mountPoint(id));
    if (target.through === 'view') return this.#applyThroughView(id, source, options);
    const applied = await this.#apply(id, target, source, options);
    await this.driver.finishApply(id);
    return applied;
  }

  async #apply(id: LayerId, target: ApplyTarget, source: BlobSource, options: RunJobOptions): Promise<AppliedDiff> {
    const { workers } = this.tools;
    const { tree } = target;
    const applied = await workers.run({ kind: 'apply', source, compression: 'auto', tree }, options);
    await settleLayer(this.driver, workers, id, { target, deferred: applied.deferred });
    await workers.run({ kind: 'sync', path: tree.path });
    if (applied.pseudoLinks > 0) {
      const { pseudoLinks } = applied;
      this.tools.logger?.warn({ id, pseudoLinks }, 'the archive holds pseudo-links of aufs: hard links may be missing');
    }
    const byHeaders = this.driver.abilities.sizeRule === 'tar-headers';
    const size = byHeaders ? applied.contentSize : await this.#size({ upper: tree, lowers: [] }, options);
    return { ...applied, size };
  }

  async #size(diff: DiffSource, options: RunJobOptions): Promise<number> {
    return this.tools.workers.run({ kind: 'diff-size', diff, count: 'lstat' }, options);
  }

  async #applyThroughView(id: LayerId, source: BlobSource, options: RunJobOptions): Promise<AppliedDiff> {
    const plan = await this.driver.openView(id);
    try {
      return await this.tools.mounter.withMount(plan, this.driver.mountPoint(id), (path) =>
        this.#apply(id, { tree: this.#view(path), lowers: [] }, source, options),
      );
    } finally {
      await this.driver.closeView(id);
    }
  }

  async #compare<Result>(
    id: LayerId,
    parent: LayerId | undefined,
    use: (diff: DiffSource) => Promise<Result>,
  ): Promise<Result> {
    const inPlace = await this.driver.diffSource(parseLayerId(id), parent);
    if (inPlace === undefined) return this.#compareViews(id, parent, use);
    await this.#settleView(id);
    return use(inPlace);
  }

  /** {@link #compare} with complete trees on both sides. */
  async #compareComplete<Result>(
    id: LayerId,
    parent: LayerId | undefined,
    use: (diff: DiffSource) => Promise<Result>,
  ): Promise<Result> {
    const inPlace = await this.driver.diffSource(parseLayerId(id), parent);
    return inPlace?.upper.dialect === 'complete' ? use(inPlace) : this.#compareViews(id, parent, use);
  }

  async #compareViews<Result>(
    id: LayerId,
    parent: LayerId | undefined,
    use: (diff: DiffSource) => Promise<Result>,
  ): Promise<Result> {
    await using staged = await this.#staging.enter();
    return await this.#withView(id, staged.entry('layer'), (upper) =>
      parent === undefined
        ? use({ upper, lowers: [] })
        : this.#withView(parent, staged.entry('parent'), (lower) => use({ upper, lowers: [lower] })),
    );
  }

  /** A view that a process serves keeps what was written in the kernel's cache; its layer gets it by a sync. */
  async #settleView(id: LayerId): Promise<void> {
    const mountPoint = this.driver.mountPoint(id);
    if (this.tools.mounter.mountOn(mountPoint)?.type.startsWith('fuse') !== true) return;
    await this.tools.workers.run({ kind: 'sync', path: mountPoint });
  }

  /** A view that is mounted is used as it is: a second mount over the same upper would see it change in undefined ways. */
  async #withView<Result>(id: LayerId, at: string, use: (view: LayerTree) => Promise<Result>): Promise<Result> {
    const { mounter } = this.tools;
    const mountPoint = this.driver.mountPoint(id);
    if (mounter.isMounted(mountPoint)) return use(this.#view(mountPoint));
    const name = `compared-${randomId().slice(0, 32)}`;
    try {
      const plan = await this.driver.openView(id, { readOnly: true, use: { name, lifetime: 'process' } });
      return await mounter.withMount(plan, at, (path) => use(this.#view(path)));
    } finally {
      await this.driver.closeView(id, name);
    }
  }

  #view(path: string): LayerTree {
    const { idMaps } = this.driver;
    return { path, dialect: 'complete', ...(idMaps === undefined ? {} : { idMaps }) };
  }
}
