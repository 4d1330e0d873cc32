/**
 * The directory that a layerstore owns.
 *
 * ```
 * <root>/VERSION            format of this tree, written last: a root without it was never finished
 * <root>/meta.db            SQLite: every layer, image, name, container (database/schema.ts)
 * <root>/home/              the driver's home
 * <root>/blobs/sha256/<hex> configs and manifests; compressed layers that were kept
 * <root>/blobs/tar-split/   <cache id>.gz: what turns a layer's directory back into its tar, byte for byte
 * <root>/staging/<id>/      work in progress, each with its own lock
 * <root>/locks/             one file per chain ID, container or root that somebody works on
 * ```
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StoreError, fromSystemError } from '@layerstore/core';
import { MetaDatabase } from './database/meta-database.js';
import type { SqliteEngine } from '@layerstore/sqlite';

export const rootVersion = 1;

export interface RootPaths {
  readonly root: string;
  readonly version: string;
  readonly database: string;
  readonly home: string;
  readonly blobs: string;
  readonly tarSplit: string;
  readonly staging: string;
  readonly locks: string;
}

export function rootPaths(root: string): RootPaths {
  const absolute = resolve(root);
  return {
    root: absolute,
    version: join(absolute, 'VERSION'),
    database: join(absolute, 'meta.db'),
    home: join(absolute, 'home'),
    blobs: join(absolute, 'blobs', 'sha256'),
    tarSplit: join(absolute, 'blobs', 'tar-split'),
    staging: join(absolute, 'staging'),
    locks: join(absolute, 'locks'),
  };
}

export interface OpenRootOptions {
  readonly driver: string | undefined;
  readonly create: boolean;
  readonly lockTimeoutMs: number;
  readonly engine: SqliteEngine | undefined;
}

/** The driver of a new root where none is named. */
export const defaultDriver = 'overlay2';

/**
 * Opens a root, or makes it where `create` allows.
 * @throws StoreError ERR_NOT_A_STORE for a directory with other content, or a missing one without `create`
 * @throws StoreError ERR_STORE_VERSION, ERR_DRIVER_MISMATCH
 */
export async function openRoot(
  paths: RootPaths,
  options: OpenRootOptions,
): Promise<{ database: MetaDatabase; driver: string }> {
  if (!existsSync(paths.version)) await createRoot(paths, options);
  checkVersion(paths);
  const database = openDatabase(paths, options);
  try {
    const driver = database.prepare(`SELECT value FROM settings WHERE key = 'driver'`).get()?.['value'];
    if (typeof driver !== 'string') {
      throw new StoreError('ERR_STORE_DAMAGED', 'the database does not name the driver', { subject: paths.database });
    }
    if (options.driver !== undefined && options.driver !== driver) {
      throw new StoreError('ERR_DRIVER_MISMATCH', `this root uses the driver ${driver}, not ${options.driver}`, {
        subject: paths.root,
        hint: `leave out --driver, or give another --root; to change over, \`save\` the images here and \`load\` them there`,
      });
    }
    return { database, driver };
  } catch (error) {
    database[Symbol.dispose]();
    throw error;
  }
}

function openDatabase(paths: RootPaths, options: OpenRootOptions): MetaDatabase {
  return MetaDatabase.open(paths.database, {
    lockTimeoutMs: options.lockTimeoutMs,
    ...(options.engine === undefined ? {} : { engine: options.engine }),
  });
}

function checkVersion(paths: RootPaths): void {
  const text = readFileSync(paths.version, 'utf8').trim();
  const version = /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
  if (version === undefined) {
    throw new StoreError('ERR_STORE_DAMAGED', 'the file does not hold a version number', {
      subject: paths.version,
      hint: `if the rest of the root is intact, write ${rootVersion} into it`,
    });
  }
  if (version > rootVersion) {
    throw new StoreError('ERR_STORE_VERSION', `the root has version ${version}, this layerstore knows ${rootVersion}`, {
      subject: paths.root,
      hint: 'use the layerstore that made this root, or a newer one',
    });
  }
}

/** Two processes may make the same root at once: the lock lets one do it, the VERSION file says that it is done. */
async function createRoot(paths: RootPaths, options: OpenRootOptions): Promise<void> {
  if (!options.create) {
    throw new StoreError('ERR_NOT_A_STORE', 'there is no layerstore root here', {
      subject: paths.root,
      hint: 'check --root; loading an image makes a new root',
    });
  }
  refuseForeignContent(paths);
  try {
    mkdirSync(paths.locks, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fromSystemError(error, paths.root);
  }
  const { FileLock, syncDirectory, writeFileDurably } = await import('@layerstore/linux');
  await using _lock = await FileLock.acquire(join(paths.locks, 'root'));
  if (existsSync(paths.version)) return;
  for (const directory of [paths.home, paths.blobs, paths.tarSplit, paths.staging]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  using database = openDatabase(paths, options);
  await database.write(() =>
    database
      .prepare(`INSERT OR IGNORE INTO settings VALUES ('driver', ?), ('created', ?)`)
      .run(options.driver ?? defaultDriver, new Date().toISOString()),
  );
  for (const directory of [join(paths.root, 'blobs'), paths.root]) syncDirectory(directory);
  writeFileDurably(paths.version, `${rootVersion}\n`, 0o600);
}

function refuseForeignContent(paths: RootPaths): void {
  const ours = new Set([
    'VERSION',
    'meta.db',
    'meta.db-wal',
    'meta.db-shm',
    'home',
    'blobs',
    'staging',
    'locks',
    'lost+found',
  ]);
  const foreign = existsSync(paths.root) ? readdirSync(paths.root).filter((name) => !ours.has(name)) : [];
  if (foreign.length === 0) return;
  throw new StoreError('ERR_NOT_A_STORE', `the directory holds something else (${foreign.slice(0, 3).join(', ')})`, {
    subject: paths.root,
    hint: 'give an empty or new directory as --root',
  });
}
