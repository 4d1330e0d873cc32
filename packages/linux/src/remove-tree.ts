import { fromSystemError, StoreError } from '@layerstore/core';
import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import {
  AT_REMOVEDIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from './constants.js';
import { mountsBelow, readMountTable } from './mount-table.js';
import { namesIn } from './names-in.js';
import { hasErrno } from './native/errno.js';
import { nativeSyscalls } from './native-syscalls.js';
import { AT_FDCWD, type FileSyscalls } from './syscalls.js';

/** Directories below this depth are moved up before they are emptied, so that open descriptors stay few. */
const MAX_DEPTH = 64;

/**
 * Deletes a file or a directory with everything in it. Absent is no error.
 *
 * The tree may be hostile: symlinks are deleted, never followed, whatever is swapped in meanwhile, and mounts are never
 * entered, so a view that is still mounted below keeps its data. Depth is not limited. Cost: one unlink per file; in
 * the calling thread.
 * @throws StoreError ERR_BUSY when something is mounted on it or below it; found out before anything is deleted, unless
 * it was mounted meanwhile
 * @throws StoreError ERR_IO, ERR_NEEDS_ROOT for what cannot be deleted
 */
export function removeTree(path: string, syscalls: FileSyscalls = nativeSyscalls()): void {
  const absolute = resolve(path);
  try {
    const parentPath = existing(dirname(absolute));
    if (parentPath === undefined) return;
    const mounted = mountsBelow(readMountTable(), join(parentPath, basename(absolute)))[0];
    if (mounted !== undefined) throw busy(mounted.mountPoint);
    const parent = syscalls.openat(AT_FDCWD, parentPath, O_PATH | O_DIRECTORY);
    try {
      removeEntry(syscalls, parent, basename(absolute));
    } finally {
      syscalls.close(parent);
    }
  } catch (error) {
    if (hasErrno(error, 'EXDEV', 'EBUSY')) throw busy(path, error);
    throw fromSystemError(error, path);
  }
}

function existing(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function busy(path: string, cause?: unknown): StoreError {
  return new StoreError('ERR_BUSY', 'something is mounted there, so it is not deleted', {
    subject: path,
    hint: 'unmount it first',
    cause,
  });
}

function removeEntry(sys: FileSyscalls, parent: number, name: string): void {
  if (unlinked(sys, parent, name)) return;
  const top = openDirectory(sys, parent, name);
  if (top === undefined) return;
  try {
    const removal = new Removal(sys, top);
    while (removal.empty(top, 0));
  } finally {
    sys.close(top);
  }
  removeEmptyDirectory(sys, parent, name);
}

/** Two processes may sweep the same tree: whatever is gone already is no error, at every step. */
class Removal {
  #moved = 0;

  constructor(
    private readonly sys: FileSyscalls,
    private readonly top: number,
  ) {}

  /** Returns true when directories were moved to the top, which then has to be emptied again. */
  empty(directory: number, depth: number): boolean {
    let again = false;
    for (const name of namesIn(directory)) {
      if (unlinked(this.sys, directory, name)) continue;
      if (depth === MAX_DEPTH) {
        this.#moveToTop(directory, name);
        again = true;
      } else if (this.#removeDirectory(directory, name, depth)) {
        again = true;
      }
    }
    return again;
  }

  #removeDirectory(directory: number, name: Buffer, depth: number): boolean {
    const child = openDirectory(this.sys, directory, name);
    if (child === undefined) return false;
    let again;
    try {
      again = this.empty(child, depth + 1);
    } finally {
      this.sys.close(child);
    }
    removeEmptyDirectory(this.sys, directory, name);
    return again;
  }

  #moveToTop(directory: number, name: Buffer): void {
    for (;;) {
      try {
        this.sys.renameat2(directory, name, this.top, `.deep-${++this.#moved}`, RENAME_NOREPLACE);
        return;
      } catch (error) {
        if (hasErrno(error, 'ENOENT')) return;
        if (!hasErrno(error, 'EEXIST')) throw error;
      }
    }
  }
}

/** False for a directory: unlink(2) tells, whatever type the name had a moment ago. */
function unlinked(sys: FileSyscalls, directory: number, name: string | Buffer): boolean {
  try {
    sys.unlinkat(directory, name, 0);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EISDIR')) return false;
    if (hasErrno(error, 'ENOENT')) return true;
    throw error;
  }
}

/**
 * `undefined` when it is gone. Fails with EXDEV for a mount point, bind mounts of the same file system included, which
 * a comparison of devices would miss.
 */
function openDirectory(sys: FileSyscalls, parent: number, name: string | Buffer): number | undefined {
  try {
    return sys.openat2(parent, name, {
      flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
      resolve: RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
    });
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function removeEmptyDirectory(sys: FileSyscalls, parent: number, name: string | Buffer): void {
  try {
    sys.unlinkat(parent, name, AT_REMOVEDIR);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}
