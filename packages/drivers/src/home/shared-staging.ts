import { existsSync } from 'node:fs';
import type { HomeStaging, StagingDirectory } from './home-staging.js';
import type { TreeWork } from './tree-work.js';

/**
 * One staging directory, with one lock, for many layers of this process that are built one after another: making a lock file and a
 * directory for each takes longer than building the layer. It stays until {@link close}, or until the next process sweeps.
 */
export class SharedStaging {
  #opened: Promise<StagingDirectory> | undefined;
  #inUse = 0;
  #last = 0;

  constructor(
    private readonly staging: Pick<HomeStaging, 'enter'>,
    private readonly trees: Pick<TreeWork, 'remove'>,
  ) {}

  /** A place for one layer; disposing of it deletes what is left there. @throws StoreError ERR_NO_SPACE, ERR_IO */
  async enter(): Promise<SharedEntry> {
    this.#inUse += 1;
    try {
      this.#opened ??= this.staging.enter();
      const { path } = await this.#opened;
      return new SharedEntry(`${path}/${(this.#last += 1)}`, this.trees, () => (this.#inUse -= 1));
    } catch (error) {
      this.#inUse -= 1;
      this.#opened = undefined;
      throw error;
    }
  }

  /** Deletes the directory and its lock, unless something is being built there. */
  async close(): Promise<void> {
    if (this.#inUse > 0) return;
    const opened = this.#opened;
    this.#opened = undefined;
    await (await opened)?.[Symbol.asyncDispose]();
  }
}

class SharedEntry implements AsyncDisposable {
  constructor(
    private readonly path: string,
    private readonly trees: Pick<TreeWork, 'remove'>,
    private readonly left: () => void,
  ) {}

  entry(name: string): string {
    return `${this.path}-${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      const built = this.entry('layer');
      if (existsSync(built)) await this.trees.remove(built);
    } finally {
      this.left();
    }
  }
}
