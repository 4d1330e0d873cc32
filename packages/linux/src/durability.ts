/**
 * Making data survive a power cut. A file is safe once it and the directory that names it have been synced; see
 * fsync(2). Errors are ERR_IO, ERR_NO_SPACE and ERR_NEEDS_ROOT, with the path.
 */
import { fromSystemError } from '@layerstore/core';
import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { hasErrno } from './native/errno.js';
import { nativeSyscalls } from './native-syscalls.js';
import { AT_FDCWD } from './syscalls.js';

/**
 * Writes everything of the file system that holds `path` to disk; cheaper than a sync per file from some dozen files
 * on.
 */
export function syncFileSystem(path: string): void {
  const sys = nativeSyscalls();
  reporting(path, () => {
    const fd = sys.openat(AT_FDCWD, path, 0);
    try {
      sys.syncfs(fd);
    } finally {
      sys.close(fd);
    }
  });
}

/** Writes the content and status of one file to disk, not its name: that is its directory's. */
export function syncFile(path: string): void {
  reporting(path, () => {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/** Makes names that were made, renamed or deleted in a directory durable. */
export function syncDirectory(path: string): void {
  syncFile(path);
}

/**
 * Replaces a file by one with exactly this content and mode, on disk when the call returns. Readers see the old or the
 * new content, never a part. A crash may leave `.NAME.HEX.tmp` beside it.
 */
export function writeFileDurably(path: string, data: string | Uint8Array, mode = 0o600): void {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  reporting(path, () => {
    try {
      writeAndSync(temporary, data, mode);
      renameSync(temporary, path);
    } catch (error) {
      removeIfPresent(temporary);
      throw error;
    }
  });
  syncDirectory(directory);
}

/**
 * Replaces a file by one with exactly this content and mode. Readers see the old or the new content, never a part; but
 * nothing is synced: after a power cut it may be empty. For what can be made again.
 */
export function replaceFile(path: string, data: string | Uint8Array, mode = 0o600): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  reporting(path, () => {
    try {
      writeFileSync(temporary, data, { flag: 'wx', mode });
      renameSync(temporary, path);
    } catch (error) {
      removeIfPresent(temporary);
      throw error;
    }
  });
}

function writeAndSync(path: string, data: string | Uint8Array, mode: number): void {
  const fd = openSync(path, 'wx', mode);
  try {
    writeFileSync(fd, data);
    // The process's umask has taken bits away.
    fchmodSync(fd, mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function removeIfPresent(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

function reporting(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
