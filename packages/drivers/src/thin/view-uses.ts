/**
 * Who keeps repositories open, and which revision each of them sees.
 *
 * ```
 * <state>/thin/uses/<id>            the view on the layer's mount point
 * <state>/thin/uses/<id>@<name>     a view elsewhere, or a comparison
 * <state>/thin/locks/<...>          held by the processes that opened it
 * ```
 *
 * A use is written down before a repository is opened, so that no kill leaves one open that nobody finds. What is mounted tells
 * whether the view on the mount point still needs it; for the others the lock does.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { isLayerId, parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import { bootId, FileLock, replaceFile } from '@layerstore/linux';
import type { ViewUse } from '../driver.js';
import { listOptional, readOptional } from '../home/optional-file.js';
import { statePath } from '../home/state-directory.js';
import type { LayerSource, PinnedRepository } from './layer-source.js';

const separator = '@';

const recordShape = v.object({
  boot: v.string(),
  lifetime: v.picklist(['mount', 'process', 'persistent']),
  repositories: v.record(v.string(), v.object({ path: v.optional(v.string()), revision: v.optional(v.string()) })),
});
type UseRecord = v.InferOutput<typeof recordShape>;

export interface ViewUseParts {
  /** The home's directory for what is layerstore's own. */
  readonly state: string;
  readonly home: string;
  readonly source: LayerSource;
  readonly isMounted: (id: LayerId) => boolean;
  readonly exists: (id: LayerId) => Promise<boolean>;
}

/** The repositories of a use, by their names. */
export type OpenRepositories = ReadonlyMap<string, PinnedRepository>;

export class ViewUses {
  readonly #directory: string;
  readonly #locks: string;
  readonly #user: string;
  /** Held by this process for what it has opened. */
  readonly #held = new Map<string, FileLock>();

  constructor(private readonly parts: ViewUseParts) {
    this.#directory = join(parts.state, 'thin', 'uses');
    this.#locks = join(parts.state, 'thin', 'locks');
    this.#user = basename(statePath(parts.home));
  }

  /**
   * Opens repositories for a view. One that is in use sees the revisions that it had; where another view of the layer is
   * in use, the same as that.
   * @throws StoreError as {@link LayerSource.acquire} does; nothing stays open then that was not before
   */
  async begin(id: LayerId, repositories: readonly string[], use?: ViewUse): Promise<OpenRepositories> {
    const name = nameOf(id, use?.name);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const lifetime = use?.lifetime ?? 'mount';
    if (lifetime !== 'persistent') await this.#hold(name);
    const known = this.#inUse(id, name);
    if (known === undefined) await this.#release(name);
    const seen = known ?? this.#inUse(id, nameOf(id, undefined));
    this.#write(name, { boot: bootId(), lifetime, repositories: known?.repositories ?? entriesOf(repositories) });
    try {
      const opened = new Map<string, PinnedRepository>();
      for (const repository of repositories) {
        const revision = seen?.repositories[repository]?.revision;
        opened.set(repository, await this.#acquire(repository, name, revision));
      }
      this.#write(name, { boot: bootId(), lifetime, repositories: Object.fromEntries(opened) });
      return opened;
    } catch (error) {
      if (known === undefined) await this.#drop(name);
      throw error;
    }
  }

  /** Ends a use; that of the mount point only when nothing is mounted there. One that does not exist is no error. */
  async end(id: LayerId, use?: string): Promise<void> {
    if (use === undefined && this.parts.isMounted(id)) return;
    const name = nameOf(id, use);
    if (this.#read(name) === undefined && !this.#held.has(name)) return;
    await this.#drop(name);
  }

  /** What some use of the layer has open, without opening anything. */
  opened(id: LayerId): OpenRepositories | undefined {
    const names = [nameOf(id, undefined), ...[...this.#held.keys()].filter((name) => layerOf(name) === id)];
    for (const name of names) {
      const record = this.#inUse(id, name);
      const complete = Object.entries(record?.repositories ?? {}).flatMap(([repository, { path, revision }]) =>
        path === undefined ? [] : [[repository, { path, ...(revision === undefined ? {} : { revision }) }] as const],
      );
      if (complete.length > 0) return new Map(complete);
    }
    return undefined;
  }

  /** Ends every use of a layer that is gone. */
  async forget(id: LayerId): Promise<void> {
    for (const name of this.#names()) if (layerOf(name) === id) await this.#drop(name);
  }

  /** Ends the uses that nobody has any more. Cost: a listing. */
  async sweep(): Promise<void> {
    for (const name of this.#names()) {
      const id = layerOf(name);
      if (id === undefined || this.#held.has(name)) continue;
      if ((await this.parts.exists(id)) && this.#isKept(id, name)) continue;
      const lock = await FileLock.tryAcquire(this.#lockOf(name));
      // Whoever holds it lives, and is about to mount or at work.
      if (lock === undefined) continue;
      await this.#release(name);
      lock.remove();
    }
    for (const { name } of listOptional(this.#locks)) {
      if (this.#read(name) === undefined) (await FileLock.tryAcquire(this.#lockOf(name)))?.remove();
    }
  }

  /** Repositories that are open for views, sorted. */
  get repositories(): string[] {
    const records = this.#names().map((name) => this.#read(name));
    return [...new Set(records.flatMap((record) => Object.keys(record?.repositories ?? {})))].sort();
  }

  /** Without its lock, does the use go on? */
  #isKept(id: LayerId, name: string): boolean {
    const record = this.#read(name);
    if (record?.boot !== bootId()) return false;
    return record.lifetime === 'persistent' || (record.lifetime === 'mount' && this.parts.isMounted(id));
  }

  /** The record of a use that goes on. */
  #inUse(id: LayerId, name: string): UseRecord | undefined {
    return this.#isKept(id, name) || this.#held.has(name) ? this.#read(name) : undefined;
  }

  async #acquire(repository: string, name: string, revision: string | undefined): Promise<PinnedRepository> {
    const { source } = this.parts;
    await source.requireKey(repository);
    const user = `${this.#user}/${name}`;
    return source.acquire({ repository, user, ...(revision === undefined ? {} : { revision }) });
  }

  /** Lets go of every use as it is, like the end of the process. */
  [Symbol.dispose](): void {
    for (const lock of this.#held.values()) lock.release();
    this.#held.clear();
  }

  async #hold(name: string): Promise<void> {
    if (this.#held.has(name)) return;
    // Shared: several processes may have the same view open.
    this.#held.set(name, await FileLock.acquire(this.#lockOf(name), { shared: true }));
  }

  async #drop(name: string): Promise<void> {
    await this.#release(name);
    this.#held.get(name)?.release();
    this.#held.delete(name);
    // Another process may still hold it, for a view that was unmounted behind its back.
    (await FileLock.tryAcquire(this.#lockOf(name)))?.remove();
  }

  async #release(name: string): Promise<void> {
    const record = this.#read(name);
    for (const repository of Object.keys(record?.repositories ?? {})) {
      await this.parts.source.release(repository, `${this.#user}/${name}`);
    }
    rmSync(this.#file(name), { force: true });
  }

  /** Its directory is there on return. */
  #lockOf(name: string): string {
    mkdirSync(this.#locks, { recursive: true, mode: 0o700 });
    return join(this.#locks, name);
  }

  #names(): string[] {
    return listOptional(this.#directory)
      .map((entry) => entry.name)
      .filter((name) => layerOf(name) !== undefined);
  }

  #read(name: string): UseRecord | undefined {
    const text = readOptional(this.#file(name));
    if (text === undefined) return undefined;
    try {
      return v.parse(recordShape, JSON.parse(text));
    } catch {
      return { boot: '', lifetime: 'mount', repositories: {} };
    }
  }

  #write(name: string, record: UseRecord): void {
    replaceFile(this.#file(name), JSON.stringify(record));
  }

  #file(name: string): string {
    return join(this.#directory, name);
  }
}

function nameOf(id: LayerId, use: string | undefined): string {
  if (use === undefined) return parseLayerId(id);
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(use)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not a name for the use of a view', { subject: JSON.stringify(use) });
  }
  return `${parseLayerId(id)}${separator}${use}`;
}

function layerOf(name: string): LayerId | undefined {
  const [id = ''] = name.split(separator);
  return isLayerId(id) ? id : undefined;
}

function entriesOf(repositories: readonly string[]): UseRecord['repositories'] {
  return Object.fromEntries(repositories.map((repository) => [repository, {}]));
}
