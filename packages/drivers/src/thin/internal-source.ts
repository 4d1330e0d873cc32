/**
 * Repositories that the standard client mounts, one process for each, while a layer needs it.
 *
 * ```
 * <directory>/<repository>/root/          the mount point
 * <directory>/<repository>/users/<hash>   somebody uses it; the last takes the mount away
 * <directory>/<repository>/lock           held while a mount is made or taken away
 * ```
 *
 * The kernel's mount table is the truth about the mount, the files are about its users: both outlive a process that is killed.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StoreError } from '@layerstore/core';
import { FileLock, type Mounter } from '@layerstore/linux';
import { listOptional } from '../home/optional-file.js';
import { revisionOf } from './external-source.js';
import type { LayerSource, PinnedRepository, RepositoryRequest } from './layer-source.js';
import type { RepositoryKeys } from './repository-keys.js';

/** The client fetches the newest catalog before it goes into the background. */
const startTimeoutMs = 60_000;

export interface InternalSourceParts {
  /** Absolute path of the directory for mounts and users. */
  readonly directory: string;
  readonly keys: RepositoryKeys;
  readonly mounter: Mounter;
  /** Name or path of the client; default `cvmfs2`. */
  readonly program?: string;
}

export class InternalSource implements LayerSource {
  readonly method = 'internal';

  constructor(private readonly parts: InternalSourceParts) {}

  async requireKey(repository: string): Promise<void> {
    this.parts.keys.require(repository);
    return Promise.resolve();
  }

  async acquire({ repository, user }: RepositoryRequest): Promise<PinnedRepository> {
    const path = this.#place(repository, 'root');
    await using _lock = await this.#lock(repository);
    mkdirSync(this.#place(repository, 'users'), { recursive: true, mode: 0o700 });
    writeFileSync(this.#userFile(repository, user), user, { mode: 0o600 });
    try {
      if (!this.parts.mounter.isMounted(path)) await this.#mount(repository, path);
    } catch (error) {
      rmSync(this.#userFile(repository, user), { force: true });
      throw error;
    }
    const revision = revisionOf(path);
    return { path, ...(revision === undefined ? {} : { revision }) };
  }

  async release(repository: string, user: string): Promise<void> {
    await using _lock = await this.#lock(repository);
    rmSync(this.#userFile(repository, user), { force: true });
    if (listOptional(this.#place(repository, 'users')).length > 0) return;
    // An overlay holds the file system of its lowers, not their mount point: what is mounted over it goes on working.
    await this.parts.mounter.detach(this.#place(repository, 'root'));
  }

  async #mount(repository: string, path: string): Promise<void> {
    const { program = 'cvmfs2', mounter } = this.parts;
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const argv = ['-o', `ro,allow_other,fsname=cvmfs2,nodev,nosuid`, repository, path];
    try {
      await promisify(execFile)(program, argv, { timeout: startTimeoutMs, killSignal: 'SIGKILL' });
    } catch (error) {
      throw mountFailure(error, program, repository);
    }
    if (mounter.isMounted(path)) return;
    throw new StoreError('ERR_MOUNT_FAILED', `${program} ended without an error and mounted nothing`, {
      subject: repository,
    });
  }

  async #lock(repository: string): Promise<FileLock> {
    mkdirSync(this.#place(repository, ''), { recursive: true, mode: 0o700 });
    return FileLock.acquire(this.#place(repository, 'lock'));
  }

  #userFile(repository: string, user: string): string {
    const name = createHash('sha256').update(user).digest('hex').slice(0, 32);
    return join(this.#place(repository, 'users'), name);
  }

  /** The name of a repository is checked where a thin.json is read. */
  #place(repository: string, name: string): string {
    return join(this.parts.directory, repository, name);
  }
}

function mountFailure(error: unknown, program: string, repository: string): StoreError {
  if (!(error instanceof Error)) return new StoreError('ERR_INTERNAL', String(error), { subject: repository });
  if ('code' in error && error.code === 'ENOENT') {
    return new StoreError('ERR_MISSING_PREREQUISITE', `the program ${program} is not installed`, {
      subject: 'cvmfsMountMethod=internal',
      hint: 'install the CernVM-FS client, or leave the option out: layerstore has a client of its own',
      cause: error,
    });
  }
  const output = 'stderr' in error ? String(error.stderr).trim().split('\n').slice(-3).join('; ') : '';
  return new StoreError('ERR_MOUNT_FAILED', `${program}: ${output === '' ? error.message : output}`.slice(0, 1000), {
    subject: repository,
    cause: error,
  });
}
