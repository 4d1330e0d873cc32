import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import type { LayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree } from '@layerstore/linux';
import type { DriverOptions } from '../driver-options.js';
import type { GraphDriver } from '../driver.js';
import { layerDiffs, type LayerDiffs, type LayerDiffTools } from '../layer-diffs.js';
import { LayerViews } from '../views/layer-views.js';

/** A driver that shall keep the contract. */
export interface ConformanceSubject {
  /** Leads the names of the tests: `overlay2 by mount(2)`. */
  readonly title: string;
  /** How views are mounted; default `auto`. */
  readonly mountMethod?: 'fsopen' | 'mount';
  /** Where homes are made; default the system's temporary directory. */
  readonly directory?: string;
  /**
   * Opens a home as a program does at its start, sweeping included; called again on the same home to reopen it, also
   * read-only.
   */
  open(home: string, options: LayerDiffTools & Pick<DriverOptions, 'access'>): Promise<GraphDriver>;
}

/** Makes homes for tests; the worker threads are shared by all of them. */
export class Conformance {
  readonly #workers = new ArchiveWorkers({ threads: 1 });

  constructor(private readonly subject: ConformanceSubject) {}

  async openHome(): Promise<OpenedHome> {
    const directory = realpathSync(mkdtempSync(join(this.subject.directory ?? tmpdir(), 'layerstore-conformance-')));
    const method = this.subject.mountMethod ?? 'auto';
    const tools = { workers: this.#workers, mounter: new Mounter({ method }) };
    const open: OpenAgain = (options) => this.subject.open(join(directory, 'home'), { ...tools, ...options });
    return new OpenedHome(directory, tools, open, await open({}));
  }

  async close(): Promise<void> {
    await this.#workers[Symbol.asyncDispose]();
  }
}

type OpenAgain = (options: Pick<DriverOptions, 'access'>) => Promise<GraphDriver>;

/** One home; disposing of it unmounts and deletes everything. */
export class OpenedHome implements AsyncDisposable {
  readonly diffs: LayerDiffs;
  readonly views: LayerViews;

  constructor(
    /** Holds the home, and room for the files of a test. */
    readonly directory: string,
    readonly tools: LayerDiffTools,
    private readonly openAgain: OpenAgain,
    readonly driver: GraphDriver,
  ) {
    this.diffs = layerDiffs(driver, tools);
    this.views = new LayerViews(driver, tools.mounter);
  }

  /** Another driver on the same home, as after a restart. */
  async reopen(): Promise<GraphDriver> {
    return this.openAgain({});
  }

  /** The same home, opened so that nothing may be written into it. */
  async reopenReadOnly(): Promise<OpenedHome> {
    const driver = await this.openAgain({ access: 'read-only' });
    return new OpenedHome(driver.state, this.tools, this.openAgain, driver);
  }

  async mount(id: LayerId): Promise<string> {
    return this.views.get(id);
  }

  async unmount(id: LayerId): Promise<void> {
    await this.views.put(id);
  }

  /** Mounts a layer, runs `use` in its view and unmounts it. */
  async inView<Result>(id: LayerId, use: (view: string) => Result): Promise<Result> {
    await using view = await this.views.lease(id);
    return use(view.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of mountsBelow(readMountTable(), this.directory).reverse()) {
      await this.tools.mounter.unmount(entry.mountPoint);
    }
    removeTree(this.directory);
  }
}
