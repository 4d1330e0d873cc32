import type { ArchiveWorkers } from '@layerstore/archive';
import { silentLogger, type Logger, type OperationOptions } from '@layerstore/core';
import type { GraphDriver, LayerViews } from '@layerstore/drivers';
import type { Mounter, MountMethod } from '@layerstore/linux';
import { Containers } from './containers/containers.js';
import type { StoreContext } from './context.js';
import { releaseFiles } from './database/release-files.js';
import type { SqliteEngine } from '@layerstore/sqlite';
import { Images } from './images/images.js';
import type { CheckOptions } from './maintenance/check.js';
import type { PruneOptions } from './maintenance/prune.js';
import type { CheckReport, DiskUsage, PruneReport, StoreInfo } from './model.js';
import { openRoot, rootPaths, type RootPaths } from './root.js';
import { Snapshots } from './snapshots/snapshots.js';
import { nativeRepositories } from './thin/native-repositories.js';
import { Workspaces } from './workspaces.js';

export interface OpenOptions {
  /** The directory that the store owns; made when missing. */
  readonly root: string;
  /** Driver of a new root, or the one that the root must have. Default: what the root has, else overlay2. */
  readonly driver?: string;
  /** Options of the driver, by Docker's names. */
  readonly storageOptions?: Readonly<Record<string, string>>;
  /** Whether a missing root is made; default true. */
  readonly create?: boolean;
  /** Archive workers; default one per core, four at most. */
  readonly threads?: number;
  readonly logger?: Logger;
  /** `remembered` suits a process that lives long and alone changes what it uses: records of stacks are read once. */
  readonly records?: 'checked' | 'remembered';
  /** Forces a way of mounting; default: the first that works. */
  readonly mountMethod?: 'auto' | MountMethod;
  /** How long a write waits for other processes, in milliseconds; default 30 000. */
  readonly lockTimeoutMs?: number;
  /**
   * The process ends with its work, as a command does: small jobs run in the calling thread, which saves starting one and may block the
   * event loop for up to a second, and closing does not wait until the database has let go of its files.
   */
  readonly oneShot?: boolean;
  /** Forces a database engine. */
  readonly databaseEngine?: SqliteEngine;
}

/**
 * A store of container layers, images, containers, workspaces and engines' snapshots under one directory.
 *
 * Several processes may have the same root open. Every method that changes something is durable when it returns, and leaves the store as
 * it was when it throws. Opening costs one small database; the driver, threads and kernel calls come with the first use.
 *
 * @example
 * ```ts
 * await using store = await LayerStore.open({ root: '/var/lib/layerstore' });
 * await store.images.load({ path: 'debian.tar' });
 * await using workspace = await store.workspaces.create('debian:12');
 * ```
 */
export class LayerStore implements AsyncDisposable {
  readonly images: Images;
  readonly containers: Containers;
  readonly workspaces: Workspaces;
  readonly snapshots: Snapshots;
  private closed = false;

  private constructor(
    private readonly context: StoreContext,
    private readonly shutDown: () => Promise<void>,
  ) {
    this.images = new Images(context);
    this.containers = new Containers(context);
    this.workspaces = new Workspaces(context);
    this.snapshots = new Snapshots(context);
  }

  /**
   * Opens a root, or makes it.
   * @throws StoreError ERR_NOT_A_STORE, ERR_STORE_VERSION, ERR_DRIVER_MISMATCH, ERR_STORE_DAMAGED, ERR_NEEDS_ROOT
   */
  static async open(options: OpenOptions): Promise<LayerStore> {
    const paths = rootPaths(options.root);
    const { database, driver } = await openRoot(paths, {
      driver: options.driver,
      create: options.create ?? true,
      lockTimeoutMs: options.lockTimeoutMs ?? 30_000,
      engine: options.databaseEngine,
    });
    const parts = new LazyParts(paths, driver, options);
    const context: StoreContext = {
      paths,
      driverName: driver,
      database,
      logger: options.logger ?? silentLogger,
      driver: () => parts.driver(),
      mounter: () => parts.mounter(),
      views: () => parts.views(),
      workers: () => parts.workers(),
    };
    const store = new LayerStore(context, async () => {
      await parts.end();
      const { engine } = database;
      database[Symbol.dispose]();
      if (options.oneShot !== true) await releaseFiles(engine);
    });
    return store;
  }

  get root(): string {
    return this.context.paths.root;
  }

  get driverName(): string {
    return this.context.driverName;
  }

  /** Facts about the store and its driver. */
  async info(): Promise<StoreInfo> {
    const { storeInfo } = await import('./maintenance/info.js');
    return storeInfo(this.context);
  }

  /** What the parts of the store hold. Cost: a walk of every container's own layer. */
  async diskUsage(options: OperationOptions = {}): Promise<DiskUsage> {
    const { diskUsage } = await import('./maintenance/disk-usage.js');
    return diskUsage(this.context, options);
  }

  /** Compares database, home, blobs and mounts; changes nothing. With `verify` every layer's diff ID too. */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    const { checkStore } = await import('./maintenance/check.js');
    return checkStore(this.context, options);
  }

  /** Removes what nothing needs. Safe beside other processes. */
  async prune(options: PruneOptions = {}): Promise<PruneReport> {
    const { prune } = await import('./maintenance/prune.js');
    return prune(this.context, options);
  }

  /** Ends worker threads and closes the database. Mounts that are held stay. Idempotent. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.snapshots.close();
    await this.shutDown();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The dear parts, each made when it is first asked for. */
class LazyParts {
  private openedDriver: Promise<GraphDriver> | undefined;
  private openedMounter: Promise<Mounter> | undefined;
  private openedViews: Promise<LayerViews> | undefined;
  private openedWorkers: Promise<ArchiveWorkers> | undefined;

  constructor(
    private readonly paths: RootPaths,
    private readonly driverName: string,
    private readonly options: OpenOptions,
  ) {}

  driver(): Promise<GraphDriver> {
    this.openedDriver ??= this.openDriver();
    return this.openedDriver;
  }

  mounter(): Promise<Mounter> {
    this.openedMounter ??= this.openMounter();
    return this.openedMounter;
  }

  views(): Promise<LayerViews> {
    this.openedViews ??= this.openViews();
    return this.openedViews;
  }

  workers(): Promise<ArchiveWorkers> {
    this.openedWorkers ??= this.openWorkers();
    return this.openedWorkers;
  }

  async end(): Promise<void> {
    const workers = await this.openedWorkers;
    await workers?.[Symbol.asyncDispose]();
    const driver = await this.openedDriver?.catch(() => undefined);
    driver?.[Symbol.dispose]();
  }

  private async openDriver(): Promise<GraphDriver> {
    const { openDriver } = await import('./parts.js');
    const { logger, records, storageOptions } = this.options;
    return openDriver(this.driverName, this.paths.home, {
      mounter: await this.mounter(),
      workers: await this.workers(),
      nativeRepositories: nativeRepositories(logger),
      ...(storageOptions === undefined ? {} : { storageOptions }),
      ...(records === undefined ? {} : { records }),
      ...(logger === undefined ? {} : { logger }),
    });
  }

  private async openViews(): Promise<LayerViews> {
    const { LayerViews } = await import('@layerstore/drivers');
    return new LayerViews(await this.driver(), await this.mounter());
  }

  private async openMounter(): Promise<Mounter> {
    const { Mounter } = await import('./parts.js');
    const { logger, mountMethod } = this.options;
    return new Mounter({
      ...(mountMethod === undefined ? {} : { method: mountMethod }),
      ...(logger === undefined ? {} : { logger }),
    });
  }

  private async openWorkers(): Promise<ArchiveWorkers> {
    const { ArchiveWorkers } = await import('./parts.js');
    const { logger, threads, oneShot } = this.options;
    return new ArchiveWorkers({
      smallJobs: oneShot === true ? 'caller' : 'thread',
      ...(threads === undefined ? {} : { threads }),
      ...(logger === undefined ? {} : { logger }),
    });
  }
}
