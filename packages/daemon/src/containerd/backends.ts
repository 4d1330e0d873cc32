import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { StoreError, type Logger } from '@layerstore/core';
import { FileLock } from '@layerstore/linux';
import { StoreThread } from './store-thread.js';

/** A root that is served. */
export interface ServedRoot {
  readonly root: string;
  /** Driver of a new root, or the one that the root must have. */
  readonly driver?: string;
  readonly storageOptions?: Readonly<Record<string, string>>;
}

export interface BackendsOptions {
  /** Name of this server: the first part of the owner of everything that it makes. */
  readonly name: string;
  /** Serves every snapshotter that has no root of its own. */
  readonly main: ServedRoot;
  /** Roots by the name of the snapshotter in containerd's configuration. */
  readonly bySnapshotter?: Readonly<Record<string, ServedRoot>>;
}

/** Where the calls of one snapshotter go. */
export interface Backend {
  readonly thread: StoreThread;
  /** Server and snapshotter: containerd collects garbage for each snapshotter apart. */
  readonly owner: string;
}

/** The store threads of a server: one for each root, chosen by the snapshotter that a request names. */
export class Backends implements AsyncDisposable {
  private constructor(
    private readonly name: string,
    private readonly main: StoreThread,
    private readonly bySnapshotter: ReadonlyMap<string, StoreThread>,
    private readonly held: AsyncDisposableStackLike,
  ) {}

  /** @throws StoreError ERR_BUSY when a server of this name serves the root already; as LayerStore.open */
  static async open(options: BackendsOptions, logger: Logger): Promise<Backends> {
    const held = new AsyncDisposableStackLike();
    try {
      const main = await openThread(options.name, options.main, logger, held);
      const others = new Map<string, StoreThread>();
      for (const [snapshotter, served] of Object.entries(options.bySnapshotter ?? {})) {
        others.set(snapshotter, await openThread(options.name, served, logger, held));
      }
      return new Backends(options.name, main, others, held);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  }

  of(snapshotter: string): Backend {
    return { thread: this.bySnapshotter.get(snapshotter) ?? this.main, owner: `${this.name}/${snapshotter}` };
  }

  get threads(): readonly StoreThread[] {
    return [this.main, ...this.bySnapshotter.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.held[Symbol.asyncDispose]();
  }
}

/** Disposes in reverse, as the language's own AsyncDisposableStack, which Node 20 does not have. */
class AsyncDisposableStackLike implements AsyncDisposable {
  readonly #resources: AsyncDisposable[] = [];

  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    this.#resources.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let next = this.#resources.pop(); next !== undefined; next = this.#resources.pop()) {
      await next[Symbol.asyncDispose]();
    }
  }
}

async function openThread(
  name: string,
  served: ServedRoot,
  logger: Logger,
  held: AsyncDisposableStackLike,
): Promise<StoreThread> {
  const { root, driver, storageOptions } = served;
  const { thread, driver: used, recovery } = await StoreThread.open({ root, driver, storageOptions }, logger);
  held.use(thread);
  held.use(await lockServer(root, name));
  logger.info({ root, driver: used, ...recovery }, 'the root is open');
  return thread;
}

/** Two servers of one name would answer as one owner: a collector behind the one removes what was made through the other. */
async function lockServer(root: string, name: string): Promise<FileLock> {
  const mark = createHash('sha256').update(name).digest('hex').slice(0, 16);
  const lock = await FileLock.tryAcquire(join(root, 'locks', `server-${mark}`));
  if (lock !== undefined) return lock;
  throw new StoreError('ERR_BUSY', `another server named ${JSON.stringify(name)} serves this root`, {
    subject: root,
    hint: 'end it first, or give this one another --name',
  });
}
