import { realpathSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { ArchiveWorkers } from '@layerstore/archive';
import { StoreError, type Logger } from '@layerstore/core';
import { layerDiffs, LayerViews, openDriver, type GraphDriver, type LayerDiffs } from '@layerstore/drivers';
import { FileLock, type Mounter } from '@layerstore/linux';
import { nativeRepositories } from '@layerstore/store';
import { FreshLayers } from './fresh-layers.js';
import type { RecordedHome } from './home-record.js';

/**
 * Threads, apart by what they can wait for. A commit pipes the `Diff` of one layer into the `ApplyDiff` of another: were they in one
 * queue, readers that nobody empties could hold all threads that writers wait for.
 */
export interface BackendWorkers {
  /** Copy, delete, sync and measure trees: wait for the disk only. */
  readonly local: ArchiveWorkers;
  /** Write tars into pipes: wait for whoever empties them. */
  readonly outgoing: ArchiveWorkers;
  /** Unpack tars from pipes: wait for whoever fills them. */
  readonly incoming: ArchiveWorkers;
}

export interface HomeTools {
  readonly workers: BackendWorkers;
  readonly mounter: Mounter;
  readonly logger: Logger;
  /** Options from the command line; the engine's win. */
  readonly storageOptions: Readonly<Record<string, string>>;
}

/** A home that is being served. */
export class OpenHome implements Disposable {
  private constructor(
    readonly record: RecordedHome,
    readonly driver: GraphDriver,
    readonly views: LayerViews,
    readonly fresh: FreshLayers,
    readonly diffs: { readonly measured: LayerDiffs; readonly outgoing: LayerDiffs; readonly incoming: LayerDiffs },
    private readonly mounter: Mounter,
    private readonly lock: FileLock,
  ) {}

  /**
   * Opens the driver and deletes layers that a dead process has filled in part. Views that are mounted count as used once.
   * @throws StoreError as `openDriver` does; ERR_BUSY when another process serves the home
   */
  static async open(
    record: RecordedHome,
    tools: HomeTools,
    repetitions: 'expected' | 'none',
    held?: FileLock,
  ): Promise<OpenHome> {
    const { workers, mounter, logger } = tools;
    if (!isAbsolute(record.home) || record.home.includes('\0') || realHome(record.home) === '/') {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'not a directory that a driver can own', {
        subject: JSON.stringify(record.home),
        hint: 'the engine passes <data root>/<name of the plugin>',
      });
    }
    const driver = await openDriver(record.driver, record.home, {
      mounter,
      workers: workers.local,
      logger,
      // An engine that names the wrong directory must not have it made into a home.
      create: 'empty',
      nativeRepositories: nativeRepositories(logger),
      storageOptions: { ...tools.storageOptions, ...parseStorageOptions(record.options) },
    });
    const lock = held ?? (await lockHome(driver.home));
    try {
      const home = new OpenHome(
        record,
        driver,
        new LayerViews(driver, mounter),
        new FreshLayers(driver.home, repetitions),
        {
          measured: layerDiffs(driver, { workers: workers.local, mounter }),
          outgoing: layerDiffs(driver, { workers: workers.outgoing, mounter }),
          incoming: layerDiffs(driver, { workers: workers.incoming, mounter }),
        },
        mounter,
        lock,
      );
      // The lock is new: whatever was unpacking then is dead. Otherwise it may be this very process.
      if (held === undefined) await home.#deleteHalfFilled(logger);
      await home.#forgetRemoved(logger);
      return home;
    } catch (error) {
      if (held === undefined) lock.release();
      throw error;
    }
  }

  /** Views and whatever else is mounted in the home. Cost: a read of the mount table. */
  get mountedViews(): number {
    return this.mounter.mountsBelow(this.driver.home).length;
  }

  /** The same home with other options: the lock goes over, so nobody comes in between. */
  async reopen(record: RecordedHome, tools: HomeTools): Promise<OpenHome> {
    return OpenHome.open(record, tools, 'none', this.lock);
  }

  [Symbol.dispose](): void {
    this.driver[Symbol.dispose]();
    this.lock.release();
  }

  async #deleteHalfFilled(logger: Logger): Promise<void> {
    for (const id of this.fresh.halfFilled()) {
      logger.warn({ id }, 'deleting a layer whose archive was interrupted');
      await this.driver.remove(id);
      this.fresh.forget(id);
    }
  }

  async #forgetRemoved(logger: Logger): Promise<void> {
    this.fresh.keepOnly(new Set(await this.driver.list()));
    logger.info({ home: this.driver.home, driver: this.driver.name, mounted: this.mountedViews }, 'home is open');
  }
}

async function lockHome(home: string): Promise<FileLock> {
  const lock = await FileLock.tryAcquire(join(home, '.layerstore', 'plugin.lock'));
  if (lock !== undefined) return lock;
  throw new StoreError('ERR_BUSY', 'another layerstore serves this home', { subject: home, hint: 'end it first' });
}

function realHome(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // The driver makes it, or says why it cannot.
    return path;
  }
}

/** @throws StoreError ERR_INVALID_ARGUMENT */
function parseStorageOptions(options: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    options.map((option) => {
      const split = option.indexOf('=');
      if (split > 0) return [option.slice(0, split), option.slice(split + 1)];
      throw new StoreError('ERR_INVALID_ARGUMENT', 'a storage option is not of the form KEY=VALUE', {
        subject: JSON.stringify(option.slice(0, 200)),
      });
    }),
  );
}
