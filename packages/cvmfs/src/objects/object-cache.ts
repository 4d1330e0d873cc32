import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises';
import {
  fromSystemError,
  hasCode,
  reachedStep,
  silentLogger,
  StoreError,
  throwIfAborted,
  type Logger,
} from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import { defaultLimits, type RepositoryLimits } from '../configuration/configuration.js';
import { formatHash } from '../format/content-hash.js';
import { contentKey, objectPath, type ObjectReference } from '../format/object-reference.js';
import { SourcesExhausted } from '../transport/source-failure.js';
import type { Sources } from '../transport/sources.js';
import { CacheClient } from './cache-client.js';
import { CachePaths } from './cache-paths.js';
import { cachedFiles } from './cached-files.js';
import { cleanUp, type CleanUpOutcome } from './clean-up.js';
import { compareDigest, noteDigest } from './digests.js';
import { Flights } from './flights.js';
import { LocalObjects } from './local-objects.js';
import type { FailedFetch, FetchOptions, LocalObject, ObjectSource } from './object-source.js';
import { receiveObject, type ReceivedObject } from './receive-object.js';
import { Slots, type Urgency } from './slots.js';

export interface ObjectCacheOptions {
  readonly cacheDirectory: string;
  readonly cacheLimit?: number | undefined;
  readonly limits?: Partial<RepositoryLimits>;
  readonly sources: Sources;
  readonly logger?: Logger;
}

/** What a check of a cache directory found. */
export interface CacheCheck {
  readonly objects: number;
  readonly bytes: number;
  /** Content keys of objects that were not what their digest says, and were removed. */
  readonly damaged: readonly string[];
  /** Objects without a digest, because their file system keeps no extended attributes. */
  readonly unverifiable: number;
}

/** @see ObjectSource */
export class ObjectCache implements ObjectSource, AsyncDisposable {
  readonly local: LocalObjects;
  readonly #paths: CachePaths;
  readonly #limits: RepositoryLimits;
  readonly #slots: Slots;
  readonly #flights = new Flights<LocalObject>();
  readonly #logger: Logger;
  /** Bytes that were added since the directory was measured, and how many may be before it is measured again: others add to it too. */
  #added = 0;
  #allowance = 0;
  #keeping: Promise<void> | undefined;
  #cleaning: Promise<CleanUpOutcome | undefined> | undefined;

  private constructor(
    private readonly options: ObjectCacheOptions,
    private readonly client: CacheClient,
  ) {
    this.local = new LocalObjects(options.cacheDirectory);
    this.#paths = new CachePaths(options.cacheDirectory);
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#slots = new Slots(options.sources.patience.concurrency);
    this.#logger = options.logger ?? silentLogger;
  }

  /** Makes the cache directory where it is missing. @throws StoreError ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_READ_ONLY */
  static async open(options: ObjectCacheOptions): Promise<ObjectCache> {
    return new ObjectCache(options, await CacheClient.register(new CachePaths(options.cacheDirectory)));
  }

  async fetch(object: ObjectReference, { signal, urgency = 'demand' }: FetchOptions = {}): Promise<LocalObject> {
    throwIfAborted(signal);
    const key = contentKey(object);
    // Without its catalogs nothing of a repository can be read when the network is gone.
    if (object.kind !== 'file' && object.kind !== 'chunk') this.client.pin(key);
    const found = this.local.find(object);
    if (found !== undefined) return found;
    // Another size is another question: it must not get the answer to the first.
    const flight = `${key} ${object.size ?? ''}`;
    if (urgency === 'demand') this.#slots.hurry(flight);
    return this.#flights.join(flight, signal, (given) => this.#bring(object, flight, urgency, given));
  }

  async prefetch(
    objects: Iterable<ObjectReference>,
    { signal }: Pick<FetchOptions, 'signal'> = {},
  ): Promise<readonly FailedFetch[]> {
    const rest = objects[Symbol.iterator]();
    const failed: FailedFetch[] = [];
    const options: FetchOptions = { urgency: 'prefetch', ...(signal === undefined ? {} : { signal }) };
    const run = async (): Promise<void> => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) {
        try {
          await this.fetch(next.value, options);
        } catch (error) {
          throwIfAborted(signal);
          failed.push({ object: next.value, error });
        }
      }
    };
    await Promise.all(Array.from({ length: this.options.sources.patience.concurrency }, run));
    return failed;
  }

  /**
   * Brings the cache directory below its limit, if it has one and is above.
   * @returns undefined when another process is at it
   */
  cleanUp(): Promise<CleanUpOutcome | undefined> {
    const limit = this.options.cacheLimit ?? Infinity;
    this.#cleaning ??= this.#clean(limit, () => limit / 2).finally(() => (this.#cleaning = undefined));
    return this.#cleaning;
  }

  /** Compares every object of the cache directory with its digest. Reads all of it. @throws StoreError ERR_ABORTED, ERR_IO */
  async check({ signal }: Pick<FetchOptions, 'signal'> = {}): Promise<CacheCheck> {
    const damaged: string[] = [];
    let [objects, bytes, unverifiable] = [0, 0, 0];
    for await (const { key, path, stats } of cachedFiles(this.#paths)) {
      throwIfAborted(signal);
      const result = await comparedIfPresent(path);
      if (result === undefined) continue;
      objects += 1;
      bytes += stats.size;
      if (result === 'unknown') unverifiable += 1;
      if (result !== 'different') continue;
      damaged.push(key);
      await rm(path, { force: true });
    }
    return { objects, bytes, damaged, unverifiable };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeping;
    // Whoever wanted the clean-up has heard how it went.
    await this.#cleaning?.catch(() => undefined);
    await this.client[Symbol.asyncDispose]();
  }

  async #bring(object: ObjectReference, flight: string, urgency: Urgency, signal: AbortSignal): Promise<LocalObject> {
    try {
      const known = await this.#recheck(object);
      if (known !== undefined) return known;
      return await this.#slots.take(flight, urgency, signal, () => this.#download(object, signal));
    } catch (error) {
      if (error instanceof SourcesExhausted) throw this.#unavailable(object, error);
      throw fromSystemError(error);
    }
  }

  /** A file that is there, but from before the last boot, or of another size than expected. */
  async #recheck(object: ObjectReference): Promise<LocalObject | undefined> {
    const path = this.#paths.object(object);
    const result = await comparedIfPresent(path);
    if (result === undefined) return undefined;
    if (result !== 'equal') {
      this.#logger.warn(
        { object: contentKey(object), result },
        'a cached object cannot be trusted and is fetched again',
      );
      await rm(path, { force: true });
      return undefined;
    }
    const { size } = await stat(path);
    if (object.size !== undefined && size !== object.size) {
      throw new StoreError('ERR_SIZE_MISMATCH', `it has ${size} bytes, the catalog says ${object.size}`, {
        subject: `${object.kind} ${formatHash(object.hash)}`,
        hint: 'tell whoever publishes the repository',
      });
    }
    const now = new Date();
    await utimes(path, now, now);
    return { path, size };
  }

  async #download(object: ObjectReference, signal: AbortSignal): Promise<LocalObject> {
    try {
      return await this.#receive(object, signal);
    } catch (error) {
      if (!hasCode(error, 'ERR_NO_SPACE')) throw error;
      this.#logger.warn({}, 'the file system of the cache is full: cleaning up');
      const outcome = await this.#clean(0, (size) => size / 2);
      if (outcome === undefined || outcome.removedObjects === 0) throw error;
      return await this.#receive(object, signal);
    }
  }

  async #receive(object: ObjectReference, signal: AbortSignal): Promise<LocalObject> {
    const isDatabase = object.kind !== 'file' && object.kind !== 'chunk';
    const limit = isDatabase ? this.#limits.catalogSize : this.#limits.objectSize;
    const named = object.size ?? 0;
    if (named > limit) {
      throw new StoreError('ERR_LIMIT_EXCEEDED', `it has ${named} bytes, the limit is ${limit}`, {
        subject: `${object.kind} ${formatHash(object.hash)}`,
      });
    }
    return await this.options.sources.request(
      objectPath(object),
      async (answer) => {
        const download = this.client.newDownload();
        try {
          const received = await receiveObject(answer, object, limit, download);
          return await this.#publish(object, download, received);
        } catch (error) {
          await rm(download, { force: true });
          throw error;
        }
      },
      signal,
    );
  }

  /** The rename makes the object appear; two processes that do it at once put the same content there. */
  async #publish(object: ObjectReference, download: string, { size, digest }: ReceivedObject): Promise<LocalObject> {
    const path = this.#paths.object(object);
    try {
      noteDigest(download, digest);
      reachedStep('cvmfs.received', contentKey(object));
      await this.#rename(download, path, object);
    } catch (error) {
      // The search for a source must not take it for a failure of the network.
      throw fromSystemError(error, path);
    }
    reachedStep('cvmfs.cached', contentKey(object));
    this.#account(size);
    return { path, size };
  }

  async #rename(download: string, path: string, object: ObjectReference): Promise<void> {
    try {
      await rename(download, path);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
      await mkdir(this.#paths.folder(object), { recursive: true, mode: 0o700 });
      await rename(download, path);
    }
  }

  #account(size: number): void {
    this.#added += size;
    if (this.options.cacheLimit === undefined || this.#added < this.#allowance) return;
    this.#keeping ??= this.#keepBelow(this.options.cacheLimit)
      .catch((error: unknown) => this.#logger.error({ error: String(error) }, 'the object cache cannot be cleaned up'))
      .finally(() => (this.#keeping = undefined));
  }

  /** Cleans up again for what came while it cleaned. */
  async #keepBelow(limit: number): Promise<void> {
    do {
      const before = this.#added;
      const outcome = await this.cleanUp();
      this.#added -= before;
      const room = outcome === undefined ? 0 : limit - outcome.size;
      this.#allowance = Math.max(Math.min(room, limit / 8), limit / 64);
    } while (this.#added >= this.#allowance);
  }

  async #clean(limit: number, target: (size: number) => number): Promise<CleanUpOutcome | undefined> {
    const outcome = await cleanUp(this.#paths, limit, target);
    if (outcome !== undefined && outcome.removedObjects > 0)
      this.#logger.info({ ...outcome }, 'object cache cleaned up');
    return outcome;
  }

  #unavailable(object: ObjectReference, exhausted: SourcesExhausted): StoreError {
    const subject = `${object.kind} ${formatHash(object.hash)}`;
    if (exhausted.isSilence) return exhausted.unreachable(subject);
    return new StoreError('ERR_OBJECT_UNAVAILABLE', `no source has it intact (${exhausted.describe()})`, {
      subject,
      hint: 'try again later; if it repeats, tell whoever runs the servers',
      cause: exhausted.unacceptable ?? exhausted.failures[0]?.error,
    });
  }
}

async function comparedIfPresent(path: string): Promise<'equal' | 'different' | 'unknown' | undefined> {
  try {
    await stat(path);
    return await compareDigest(path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
