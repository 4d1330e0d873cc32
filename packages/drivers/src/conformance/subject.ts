import { mkdtempSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import type { LayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree, type MountMethod } from '@layerstore/linux';
import type { DriverOptions } from '../driver-options.js';
import type { GraphDriver } from '../driver.js';
import { layerDiffs, type LayerDiffs, type LayerDiffTools } from '../layer-diffs.js';
import { openDriver } from '../registry.js';
import { LayerViews } from '../views/layer-views.js';

/** A driver that shall keep the contract. */
export interface ConformanceSubject {
  /** Leads the names of the tests: `overlay2 by mount(2)`. */
  readonly title: string;
  /** The name in the registry. With it, the driver is also opened in a process of its own, which is killed. */
  readonly driver?: string;
  readonly storageOptions?: Readonly<Record<string, string>>;
  /** How overlays are mounted; default `auto`. */
  readonly mountMethod?: MountMethod;
  /** `read-only` where no view takes writes: tests that edit through views are skipped. Default `writable`. */
  readonly views?: 'writable' | 'read-only';
  /** Where homes are made; default /dev/shm, because on a disk every layer waits for it. */
  readonly directory?: string;
  /**
   * Opens a home as a program does at its start, sweeping included; called again on the same home to reopen it, also
   * read-only. Default: the registry's driver.
   */
  readonly open?: (home: string, options: LayerDiffTools & Pick<DriverOptions, 'access'>) => Promise<GraphDriver>;
  /** Other ways to the views and diffs of the layers, through a socket for example. Default: those of this process. */
  access?(driver: GraphDriver, tools: LayerDiffTools): LayerAccess;
}

/** What engines do with layers beside making them. */
export interface LayerAccess {
  readonly views: Pick<LayerViews, 'get' | 'put' | 'remove'>;
  readonly diffs: Pick<LayerDiffs, 'changes' | 'diffSize' | 'diff' | 'applyDiff'>;
}

/** Makes homes for tests; the worker threads are shared by all of them. */
export class Conformance {
  readonly #workers = new ArchiveWorkers({ threads: 1 });
  readonly #shared = new Map<string, Promise<OpenedHome>>();

  constructor(readonly subject: ConformanceSubject) {}

  async openHome(): Promise<OpenedHome> {
    const directory = realpathSync(mkdtempSync(join(this.subject.directory ?? '/dev/shm', 'layerstore-conformance-')));
    const method = this.subject.mountMethod ?? 'auto';
    const tools = { workers: this.#workers, mounter: new Mounter({ method }) };
    const open: OpenAgain = (options) => this.#open(join(directory, 'home'), { ...tools, ...options });
    return new OpenedHome(this.subject, directory, tools, open, await open({}));
  }

  /** One home for several tests, filled by the first that asks; it must be left as it is. */
  sharedHome(name: string, fill: (home: OpenedHome) => Promise<void>): Promise<OpenedHome> {
    const home = this.#shared.get(name) ?? this.#filled(fill);
    this.#shared.set(name, home);
    return home;
  }

  async close(): Promise<void> {
    for (const home of this.#shared.values()) await (await home)[Symbol.asyncDispose]();
    await this.#workers[Symbol.asyncDispose]();
  }

  async #filled(fill: (home: OpenedHome) => Promise<void>): Promise<OpenedHome> {
    const home = await this.openHome();
    await fill(home);
    return home;
  }

  #open(home: string, tools: LayerDiffTools & Pick<DriverOptions, 'access'>): Promise<GraphDriver> {
    if (this.subject.open !== undefined) return this.subject.open(home, tools);
    const { driver, storageOptions } = this.subject;
    return openDriver(driver ?? '', home, { ...tools, ...(storageOptions === undefined ? {} : { storageOptions }) });
  }
}

type OpenAgain = (options: Pick<DriverOptions, 'access'>) => Promise<GraphDriver>;

/** One home; disposing of it unmounts and deletes everything. */
export class OpenedHome implements AsyncDisposable {
  readonly diffs: LayerAccess['diffs'];
  readonly views: LayerAccess['views'];

  constructor(
    readonly subject: ConformanceSubject,
    /** Holds the home, and room for the files of a test. */
    readonly directory: string,
    readonly tools: LayerDiffTools,
    private readonly openAgain: OpenAgain,
    readonly driver: GraphDriver,
  ) {
    const access = subject.access?.(driver, tools);
    this.diffs = access?.diffs ?? layerDiffs(driver, tools);
    this.views = access?.views ?? new LayerViews(driver, tools.mounter);
  }

  /** Another driver on the same home, as after a restart. */
  async reopen(): Promise<GraphDriver> {
    return this.openAgain({});
  }

  /** The same home, opened so that nothing may be written into it. */
  async reopenReadOnly(): Promise<OpenedHome> {
    const driver = await this.openAgain({ access: 'read-only' });
    return new OpenedHome(this.subject, driver.state, this.tools, this.openAgain, driver);
  }

  /** Is something mounted where the view of the layer is? */
  isMounted(id: LayerId): boolean {
    return this.tools.mounter.isMounted(this.driver.mountPoint(id));
  }

  /** Mounts a layer, runs `use` in its view and unmounts it. */
  async inView<Result>(id: LayerId, use: (view: string) => Result): Promise<Result> {
    const path = await this.views.get(id);
    try {
      return use(path);
    } finally {
      await this.views.put(id);
    }
  }

  /**
   * Writes new content into an empty layer: through its view, as engines do, or where views take no writes into its
   * directory, where archives are unpacked.
   */
  async fill<Result>(id: LayerId, write: (directory: string) => Result): Promise<Result> {
    if (this.subject.views !== 'read-only') return this.inView(id, write);
    const { tree } = await this.driver.applyTarget(id);
    return write(tree.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of mountsBelow(readMountTable(), this.directory).reverse()) {
      await this.tools.mounter.unmount(entry.mountPoint);
    }
    removeTree(this.directory);
  }
}
