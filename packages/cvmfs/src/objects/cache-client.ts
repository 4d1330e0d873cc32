import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystemError, hasCode, StoreError } from '@layerstore/core';
import { FileLock, hasErrno } from '@layerstore/linux';
import type { CachePaths } from './cache-paths.js';

/** A directory without a lock may be one that is just being made. */
const YOUNG = 60_000;

/** A user of a cache directory, with a directory for its downloads and its pins, which are its own as long as it lives. */
export class CacheClient implements AsyncDisposable {
  readonly #pinned = new Set<string>();
  #downloads = 0;

  private constructor(
    private readonly directory: string,
    private readonly lock: FileLock,
  ) {}

  /** @throws StoreError ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_READ_ONLY */
  static async register(paths: CachePaths): Promise<CacheClient> {
    const directory = join(paths.clients, randomBytes(8).toString('hex'));
    try {
      for (const made of [paths.objects, paths.clients]) mkdirSync(made, { recursive: true, mode: 0o700 });
      mkdirSync(directory, { mode: 0o700 });
      const lock = await FileLock.tryAcquire(join(directory, 'lock'));
      if (lock !== undefined) return new CacheClient(directory, lock);
    } catch (error) {
      throw fromSystemError(error, directory);
    }
    throw new StoreError('ERR_BUSY', 'somebody else locked it', { subject: directory });
  }

  /** A path for a download; nobody has it yet. */
  newDownload(): string {
    this.#downloads += 1;
    return join(this.directory, `${this.#downloads}.part`);
  }

  /** Keeps clean-ups of all processes from removing an object while this client lives. */
  pin(key: string): void {
    if (this.#pinned.has(key)) return;
    this.#pinned.add(key);
    appendFileSync(join(this.directory, 'pins'), `${key}\n`, { mode: 0o600 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    this.lock.release();
  }
}

/** What the clients of a cache directory have pinned. Directories of clients that were killed are removed. */
export async function readPins({ clients }: CachePaths): Promise<ReadonlySet<string>> {
  const pins = new Set<string>();
  for (const name of await readdir(clients)) {
    const directory = join(clients, name);
    if (await isDead(directory)) await rm(directory, { recursive: true, force: true });
    else for (const key of await readLines(join(directory, 'pins'))) pins.add(key);
  }
  return pins;
}

async function isDead(directory: string): Promise<boolean> {
  const lock = join(directory, 'lock');
  try {
    const { mtimeMs } = await stat(directory);
    if (Date.now() - mtimeMs < YOUNG && !(await exists(lock))) return false;
    await using held = await FileLock.tryAcquire(lock);
    return held !== undefined;
  } catch (error) {
    // Its client has just removed it.
    if (hasErrno(error, 'ENOENT') || (hasCode(error, 'ERR_IO') && hasErrno(error.cause, 'ENOENT'))) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function readLines(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'latin1')).split('\n');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
