import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fromSystemError, randomId, StoreError } from '@layerstore/core';
import { syncDirectory, syncFile } from '@layerstore/linux';

/** Where an archive goes: a file, which appears complete or not at all, or an open file descriptor. */
export type Target = { readonly path: string } | { readonly fd: number };

/**
 * Writes a target through `write`. A path that names a regular file or nothing is written beside its place and renamed into it after
 * a sync; a device or pipe is written directly.
 * @throws StoreError ERR_NOT_FOUND for a missing directory, ERR_NO_SPACE, ERR_IO
 */
export async function writeTarget<T>(target: Target, write: (to: Target) => Promise<T>): Promise<T> {
  if ('fd' in target) return write(target);
  const path = resolve(target.path);
  if (existsSync(path) && !statSync(path).isFile()) return write({ path });
  requireDirectory(dirname(path));
  const temporary = join(dirname(path), `.${basename(path)}.${randomId().slice(0, 12)}`);
  try {
    const result = await write({ path: temporary });
    syncFile(temporary);
    renameSync(temporary, path);
    syncDirectory(dirname(path));
    return result;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw fromSystemError(error, path);
  }
}

/** The same for a directory, which must not exist yet or be empty. @throws StoreError ERR_EXISTS */
export async function writeTargetDirectory<T>(path: string, write: (directory: string) => Promise<T>): Promise<T> {
  const absolute = resolve(path);
  requireDirectory(dirname(absolute));
  const temporary = join(dirname(absolute), `.${basename(absolute)}.${randomId().slice(0, 12)}`);
  mkdirSync(temporary, { mode: 0o755 });
  try {
    const result = await write(temporary);
    syncDirectory(temporary);
    renameSync(temporary, absolute);
    syncDirectory(dirname(absolute));
    return result;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw fromSystemError(error, absolute);
    throw new StoreError('ERR_EXISTS', 'the place is taken', {
      subject: absolute,
      hint: 'give the name of a new directory',
      cause: error,
    });
  }
}

function requireDirectory(path: string): void {
  if (existsSync(path)) return;
  throw new StoreError('ERR_NOT_FOUND', 'no such directory', { subject: path, hint: 'make it first' });
}
