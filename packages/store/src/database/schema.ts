/**
 * The tables of `meta.db`, and the way from one version to the next.
 *
 * ```
 * settings             driver of this root
 * layers               one row per complete, durable layer          chain_id -> cache_id
 * images               one row per image config                     id -> top chain_id
 * names                canonical reference -> image
 * containers           writable layers over an image (containers and workspaces)
 * holds                who keeps a container mounted: process (pid, start time) or, pid 0, until `unmount`
 * pending              directories in the home that are being made or being deleted
 * blobs                files in blobs/sha256
 * layer_blobs          compressed forms of a diff ID that were kept (`--keep-blobs`)
 * snapshots            what engines made through a server, or were answered from `layers`; each row has one owner
 * ```
 *
 * A home directory is named in exactly one of `layers`, `containers`, `snapshots` and `pending`. It enters `pending` before it is
 * made and leaves it in the transaction that publishes it; a removed layer enters it in the transaction that removes its record. What
 * is in `pending` and whose staging lock is free belongs to a dead process and is deleted.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import { writeImmediately } from './transaction.js';
import type { SqliteConnection } from '@layerstore/sqlite';

const versions: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    parent TEXT REFERENCES layers (chain_id),
    cache_id TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    tar_size INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    created INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX layers_by_parent ON layers (parent);
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    chain_id TEXT REFERENCES layers (chain_id),
    manifest TEXT,
    manifest_type TEXT,
    size INTEGER NOT NULL,
    layers INTEGER NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT,
    created INTEGER NOT NULL,
    stored INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX images_by_chain ON images (chain_id);
  CREATE TABLE names (reference TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id)) STRICT;
  CREATE INDEX names_by_image ON names (image);
  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('container', 'workspace')),
    image TEXT NOT NULL REFERENCES images (id),
    image_reference TEXT NOT NULL,
    chain_id TEXT REFERENCES layers (chain_id),
    cache_id TEXT NOT NULL UNIQUE,
    owner_pid INTEGER NOT NULL,
    owner_started INTEGER NOT NULL,
    created INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX containers_by_chain ON containers (chain_id);
  CREATE INDEX containers_by_image ON containers (image);
  CREATE TABLE holds (
    container TEXT NOT NULL REFERENCES containers (id),
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (container, boot_id, pid, started)
  ) STRICT;
  CREATE TABLE pending (cache_id TEXT PRIMARY KEY, staging TEXT NOT NULL) STRICT;
  CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
  CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    media_type TEXT NOT NULL,
    PRIMARY KEY (diff_id, digest)
  ) STRICT;
  `,
  // AUTOINCREMENT: the id of a removed snapshot is never given out again. A committed snapshot with a chain_id has no directory of its own.
  `
  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
    parent INTEGER REFERENCES snapshots (id),
    chain_id TEXT REFERENCES layers (chain_id),
    cache_id TEXT UNIQUE,
    labels TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_s INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    size INTEGER,
    inodes INTEGER,
    synced INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    UNIQUE (owner, key),
    CHECK (chain_id IS NULL OR (kind = 'committed' AND cache_id IS NULL))
  ) STRICT;
  CREATE INDEX snapshots_by_parent ON snapshots (parent);
  CREATE INDEX snapshots_by_chain ON snapshots (chain_id);
  `,
];

/** The schema version that this code reads and writes. */
export const schemaVersion = versions.length;

/**
 * Brings a database to {@link schemaVersion} in one transaction; an older one is first copied to `<path>.v<N>`.
 * @throws StoreError ERR_STORE_VERSION when a newer layerstore made it
 */
export function upgradeSchema(connection: SqliteConnection, path: string, steps: readonly string[] = versions): void {
  const found = readVersion(connection);
  if (found > steps.length) {
    throw new StoreError(
      'ERR_STORE_VERSION',
      `the database has version ${found}, this layerstore knows ${steps.length}`,
      {
        subject: path,
        hint: 'use the layerstore that made this root, or a newer one',
      },
    );
  }
  if (found === steps.length) return;
  if (found > 0) keepCopy(connection, path, found);
  writeImmediately(connection, () => {
    for (const step of steps.slice(readVersion(connection))) connection.exec(step);
    connection.exec(`PRAGMA user_version = ${steps.length}`);
  });
}

function readVersion(connection: SqliteConnection): number {
  const version = connection.prepare('PRAGMA user_version').get()?.['user_version'];
  return typeof version === 'number' ? version : 0;
}

function keepCopy(connection: SqliteConnection, path: string, version: number): void {
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  const copy = `${path}.v${version}`;
  if (!existsSync(copy)) copyFileSync(path, copy);
}
