import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { digestHex, digestOf, StoreError, type Digest, type LayerId } from '@layerstore/core';
import { syncDirectory, writeFileDurably } from '@layerstore/linux';
import type { RootPaths } from './root.js';
import type { Staging } from './staging.js';

/** Configs and manifests are small; a larger file in their place is damage or an attack. */
const documentLimit = 16 * 1024 * 1024;

export function blobPath(paths: RootPaths, digest: Digest): string {
  return join(paths.blobs, digestHex(digest));
}

export function tarSplitPath(paths: RootPaths, cacheId: LayerId): string {
  return join(paths.tarSplit, `${cacheId}.gz`);
}

/** A file that waits in staging, synced, to be renamed into place inside the transaction that makes it count. */
export interface StagedFile {
  readonly from: string;
  readonly to: string;
}

/** Writes a document to staging. */
export function stageDocument(
  paths: RootPaths,
  staging: Staging,
  bytes: Uint8Array,
): StagedFile & { digest: Digest; size: number } {
  const digest = digestOf(bytes);
  const from = staging.file(`blob-${digestHex(digest)}`);
  writeFileDurably(from, bytes, 0o600);
  return { from, to: blobPath(paths, digest), digest, size: bytes.length };
}

/**
 * Renames staged files into place and makes the renames durable. Called inside a write transaction: a collector, which
 * holds the same lock, thus never sees a file whose record is still to come.
 */
export function placeFiles(files: readonly StagedFile[]): void {
  const directories = new Set<string>();
  for (const file of files) {
    const directory = join(file.to, '..');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    renameSync(file.from, file.to);
    directories.add(directory);
  }
  for (const directory of directories) syncDirectory(directory);
}

/**
 * Reads a config or manifest and verifies it.
 * @throws StoreError ERR_STORE_DAMAGED when it is missing, too large, or not what its digest says
 */
export function readDocument(paths: RootPaths, digest: Digest): Buffer {
  const path = blobPath(paths, digest);
  const damaged = (reason: string, cause?: unknown): StoreError =>
    new StoreError('ERR_STORE_DAMAGED', reason, {
      subject: path,
      hint: 'load or pull the image again; `layerstore check` lists what else is damaged',
      cause,
    });
  let bytes: Buffer;
  try {
    if (statSync(path).size > documentLimit) throw damaged('too large for an image document');
    bytes = readFileSync(path);
  } catch (error) {
    throw StoreError.is(error) ? error : damaged('cannot be read', error);
  }
  if (digestOf(bytes) !== digest) throw damaged('the content does not have the digest of its name');
  return bytes;
}

export function removeBlob(paths: RootPaths, digest: Digest): void {
  rmSync(blobPath(paths, digest), { force: true });
}
