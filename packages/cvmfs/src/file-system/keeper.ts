import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, StoreError, type Logger } from '@layerstore/core';
import { FileLock, nativeSyscalls, type Syscalls } from '@layerstore/linux';
import type { RevisionChoice } from '../repository/revision-record.js';
import { detachMount, holdMount, type HeldMount } from './held-mount.js';
import { KeeperPaths } from './keeper-paths.js';
import type { LazyMountUse } from './lazy-mount.js';
import type { FileRequest, KeeperStart } from './messages.js';
import type { PinnedRevision } from './need.js';
import { ServerProcess } from './server-process.js';

/** Between a server that was killed soon after its start and the next. */
const RESPAWN_MS = 1000;
const MAX_ATTEMPTS = 5;

/**
 * Holds the mount of a repository, its uses, and the server that answers for it: when the server is killed, another goes on with the same
 * connection.
 */
export class Keeper {
  readonly #uses = new Map<string, LazyMountUse>();
  /** Every revision that was ever pinned: the kernel may know files of it. */
  readonly #revisions = new Map<string, PinnedRevision>();
  readonly #paths: KeeperPaths;
  #server: Promise<ServerProcess>;
  #isEnding = false;
  #hasStarted = false;

  private constructor(
    private readonly sys: Syscalls,
    private readonly start: KeeperStart,
    private readonly mount: HeldMount,
    private readonly logger: Logger,
    private readonly gone: () => void,
  ) {
    this.#paths = new KeeperPaths(start.directory);
    this.#server = this.#startServer();
  }

  /**
   * Mounts, and starts a server.
   * @param gone called when the kernel has let go of the mount
   * @throws StoreError as `mountFuse`, and as `Repository.open`
   */
  static async start(start: KeeperStart, logger: Logger, gone: () => void): Promise<Keeper> {
    const sys = nativeSyscalls();
    const paths = new KeeperPaths(start.directory);
    const keeper = new Keeper(sys, start, holdMount(sys, paths, start.configuration.name), logger, gone);
    try {
      await keeper.#server;
      return keeper;
    } catch (error) {
      detachMount(sys, paths);
      sys.close(keeper.mount.device);
      throw error;
    }
  }

  get uses(): LazyMountUse[] {
    return [...this.#uses.values()];
  }

  /** @throws StoreError as `Repository.revision` */
  async acquire(choice: RevisionChoice, user: string): Promise<LazyMountUse> {
    for (let attempt = 1; ; attempt++) {
      const server = await this.#server;
      try {
        return await this.#acquire(server, choice, user);
      } catch (error) {
        // The server was killed.
        if (!hasCode(error, 'ERR_CLOSED') || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  async #acquire(server: ServerProcess, choice: RevisionChoice, user: string): Promise<LazyMountUse> {
    const revision = await server.ask({ kind: 'resolve', choice });
    if (revision === undefined || !('rootHash' in revision))
      throw new StoreError('ERR_INTERNAL', 'the file server found no revision');
    const { rootHash, record } = revision;
    const use: LazyMountUse = {
      repository: record.repository,
      rootHash,
      revision: record.revision,
      path: this.#paths.revision(rootHash),
      user,
    };
    // Before the server is told: a release meanwhile must not take the revision away.
    this.#uses.set(keyOf(rootHash, user), use);
    this.#revisions.set(rootHash, revision);
    await server.ask({ kind: 'pin', revision });
    return use;
  }

  async release(user: string, rootHash?: string): Promise<void> {
    for (const [key, use] of this.#uses) {
      if (use.user !== user || (rootHash !== undefined && use.rootHash !== rootHash)) continue;
      this.#uses.delete(key);
      if (this.#isUsed(use.rootHash)) continue;
      const server = await this.#server;
      // A server that was killed meanwhile does not pin it again.
      if (!this.#isUsed(use.rootHash)) await server.ask({ kind: 'unpin', rootHash: use.rootHash }).catch(ifKilled);
    }
  }

  /** About files of a revision. @returns paths for `recorded` @throws StoreError ERR_CLOSED when the server is killed meanwhile */
  async askForFiles(request: FileRequest): Promise<readonly string[]> {
    const server = await this.#server;
    const answer = await server.ask(request);
    return Array.isArray(answer) ? (answer as readonly string[]) : [];
  }

  /** Unmounts, if there is no use; `locked` when somebody is about to come: then it has to be tried again. */
  async end(isIdle: () => boolean): Promise<'ended' | 'used' | 'locked'> {
    const lock = await FileLock.tryAcquire(this.#paths.lock);
    if (lock === undefined) return 'locked';
    try {
      if (this.#uses.size > 0 || !isIdle()) return 'used';
      this.#isEnding = true;
      rmSync(this.#paths.socket, { force: true });
      detachMount(this.sys, this.#paths);
      return 'ended';
    } finally {
      lock.release();
    }
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  async #startServer(): Promise<ServerProcess> {
    const started = Date.now();
    const server = new ServerProcess(this.mount, (how) => this.#ended(how, Date.now() - started));
    const start = {
      ...this.start,
      abilities: this.mount.abilities,
      generation: this.mount.generation,
      revisions: [...this.#revisions.values()],
      pinned: [...this.#revisions.keys()].filter((rootHash) => this.#isUsed(rootHash)),
    };
    try {
      await server.ask({ kind: 'start', start });
      this.#hasStarted = true;
      return server;
    } catch (error) {
      server.kill();
      throw error;
    }
  }

  #ended(how: 'done' | 'killed', lifetime: number): void {
    // One that never served is given up: whoever wanted it is told why.
    if (how === 'done' || !this.#hasStarted) {
      this.#isEnding = true;
      this.gone();
      return;
    }
    this.logger.warn({ milliseconds: lifetime }, 'the file server was killed; another is started');
    const next = (lifetime < RESPAWN_MS ? delay(RESPAWN_MS) : Promise.resolve()).then(() => this.#startServer());
    // Whoever waits for it is told.
    next.catch((error: unknown) => this.logger.error({ error: String(error) }, 'the file server does not start'));
    this.#server = next;
  }

  #isUsed(rootHash: string): boolean {
    return this.uses.some((use) => use.rootHash === rootHash);
  }
}

const keyOf = (rootHash: string, user: string): string => `${rootHash} ${user}`;

function ifKilled(error: unknown): void {
  if (!hasCode(error, 'ERR_CLOSED')) throw error;
}
