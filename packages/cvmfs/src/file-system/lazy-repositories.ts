import { existsSync, realpathSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { hasCode, StoreError } from '@layerstore/core';
import { readMountTable, requireLinuxRoot } from '@layerstore/linux';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import { KeeperClient } from './keeper-client.js';
import { defaultRuntimeDirectory, KeeperPaths } from './keeper-paths.js';
import type { LazyMount, LazyMountRequest, LazyMounts, LazyMountUse } from './lazy-mount.js';
import type { FileRequest, KeeperStart } from './messages.js';

export interface LazyRepositoriesOptions {
  /** How a repository is reached; asked for each call. What a running server was started with stays. */
  readonly configuration: (repository: string) => RepositoryConfiguration;
  /** Default `/run/layerstore`. Not on a disk: what is in it does not outlive the machine's run. */
  readonly runtimeDirectory?: string;
  /** Where servers write what went wrong, as lines of JSON. Default: `log` in their directory under the runtime directory. */
  readonly logFile?: string;
  /** Threads that answer the kernel, 1 to 64; default 2, and 1 with less than four processors: each reads catalogs for itself. */
  readonly threads?: number;
  /** Bytes from which the kernel reads a file itself, where it can (Linux 6.9); default 1 MiB. */
  readonly passthroughFrom?: number;
}

const defaultThreads = availableParallelism() < 4 ? 1 : 2;
/** Measured: files of 256 KiB are read sooner by way of the server, those of 1 MiB by the kernel itself. */
const defaultPassthroughFrom = 1024 * 1024;

/** @see LazyMounts */
export class LazyRepositories implements LazyMounts {
  constructor(private readonly options: LazyRepositoriesOptions) {}

  async acquire(request: LazyMountRequest): Promise<LazyMount> {
    requireLinuxRoot('mounting a repository');
    checkUser(request.user);
    const start = this.#start(request.repository);
    try {
      return await acquireFrom(start, request);
    } catch (error) {
      // The keeper was killed meanwhile.
      if (!hasCode(error, 'ERR_CLOSED')) throw error;
      return await acquireFrom(start, request);
    }
  }

  async release(repository: string, user: string, rootHash?: string): Promise<void> {
    using keeper = await KeeperClient.find(this.#paths(repository));
    await keeper?.ask({ kind: 'release', user, ...(rootHash === undefined ? {} : { rootHash }) });
  }

  async uses(repository: string): Promise<LazyMountUse[]> {
    using keeper = await KeeperClient.find(this.#paths(repository));
    return [...((await keeper?.ask({ kind: 'uses' })) ?? [])];
  }

  async record(repository: string): Promise<void> {
    await this.#askForFiles(repository, { kind: 'record' });
  }

  async recorded(repository: string, rootHash: string): Promise<readonly string[]> {
    return this.#askForFiles(repository, { kind: 'recorded', rootHash });
  }

  async prefetch(repository: string, rootHash: string, paths: readonly string[]): Promise<void> {
    await this.#askForFiles(repository, { kind: 'prefetch', rootHash, paths });
  }

  async #askForFiles(repository: string, request: FileRequest): Promise<readonly string[]> {
    using keeper = await KeeperClient.find(this.#paths(repository));
    return (await keeper?.askForFiles(request)) ?? [];
  }

  #paths(repository: string): KeeperPaths {
    const { configuration, runtimeDirectory = defaultRuntimeDirectory } = this.options;
    return KeeperPaths.of(realPath(runtimeDirectory), configuration(repository));
  }

  #start(repository: string): KeeperStart {
    const { threads = defaultThreads, passthroughFrom = defaultPassthroughFrom, logFile } = this.options;
    if (!Number.isInteger(threads) || threads < 1 || threads > 64) {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'not a number of threads from 1 to 64', {
        subject: String(threads),
      });
    }
    const paths = this.#paths(repository);
    return {
      configuration: this.options.configuration(repository),
      directory: paths.directory,
      logFile: logFile ?? paths.log,
      threads,
      passthroughFrom,
    };
  }
}

async function acquireFrom(start: KeeperStart, request: LazyMountRequest): Promise<LazyMount> {
  const { repository, revision, user, signal } = request;
  using keeper = await KeeperClient.findOrStart(start, signal);
  const choice = revision ?? ({ kind: 'newest' } as const);
  const [use] = await keeper.ask({ kind: 'acquire', choice, user }, signal);
  if (use === undefined) throw new StoreError('ERR_INTERNAL', 'the keeper of the mount gave no revision');
  const { rootHash, revision: number, path } = use;
  if (isSeen(new KeeperPaths(start.directory))) return { repository, rootHash, revision: number, path };
  await keeper.ask({ kind: 'release', user, rootHash: use.rootHash });
  throw new StoreError('ERR_MOUNT_FAILED', 'its server mounted it in another mount namespace', {
    subject: repository,
    hint: 'give each mount namespace a runtime directory of its own',
  });
}

/** As the mount table names it; a directory that does not exist yet will be made under this name. */
function realPath(directory: string): string {
  return existsSync(directory) ? realpathSync(directory) : resolve(directory);
}

function checkUser(user: string): void {
  if (/^[\x20-\x7e]{1,256}$/.test(user)) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the name of a user of a mount: 1 to 256 printable characters', {
    subject: user.slice(0, 300),
  });
}

function isSeen({ mount }: KeeperPaths): boolean {
  return readMountTable('/proc/thread-self/mountinfo').some(({ mountPoint }) => mountPoint === mount);
}
