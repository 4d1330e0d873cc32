/**
 * Reading a directory tree that may change while it is read, and whose owner may be hostile: a container's upper layer.
 *
 * Every access opens its directory from the root by openat2(2) without following symlinks and without leaving the
 * mount (so a directory that is swapped for a symlink to `/etc` is an error, not a way out), and names the entry
 * relative to that descriptor. The last directory stays open, because walks ask for its entries one after the other.
 */
import { fromSystemError, StoreError, toContainer, type IdMaps } from '@layerstore/core';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  nativeSyscalls,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  type FileStatus,
  type Syscalls,
} from '@layerstore/linux';
import { readdirSync, type Dirent } from 'node:fs';
import type { Xattr } from '../tar/entry.js';
import { isAufsMarker } from './aufs-markers.js';
import { isWhiteoutDevice } from './file-kind.js';
import { baseName, byBytes, parentOf, pathText } from './paths.js';

const WITHIN = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
const SELF = Buffer.from('.');

interface Place {
  readonly directory: number;
  readonly name: Buffer;
}

export class TreeFiles implements Disposable {
  readonly #syscalls: Syscalls = nativeSyscalls();
  readonly #root: number;
  #openPath: Buffer | undefined;
  #openFd = -1;

  /**
   * @param path absolute path of an existing directory; symlinks on the way to it are followed
   * @param idMaps owners on disk are the host's, and are told as those of the container
   */
  constructor(
    readonly path: string,
    private readonly idMaps?: IdMaps,
  ) {
    this.#root = this.#guard(Buffer.alloc(0), () => this.#syscalls.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  }

  /** Names in a directory, in byte order; none when the directory is gone by now. */
  names(directory: Buffer): Buffer[] {
    try {
      const fd = this.#directory(directory);
      return readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).sort(byBytes);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return [];
      throw this.#error(directory, error);
    }
  }

  /** The same with the type of each, in no order. */
  entries(directory: Buffer): Dirent<Buffer>[] {
    try {
      const fd = this.#directory(directory);
      return readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer', withFileTypes: true });
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return [];
      throw this.#error(directory, error);
    }
  }

  /** `undefined` where there is nothing of that name. */
  status(path: Buffer): FileStatus | undefined {
    try {
      const { directory, name } = this.#place(path);
      const status = this.#syscalls.statxIfPresent(directory, name, AT_SYMLINK_NOFOLLOW);
      return status === undefined ? undefined : this.#inContainer(path, status);
    } catch (error) {
      // ENOTDIR and ELOOP: what was a directory a moment ago is none any more. A name that is too long does not exist.
      if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) return undefined;
      throw this.#error(path, error);
    }
  }

  /** What `fd`, opened by {@link open}, is. */
  statusOfOpen(fd: number, path: Buffer): FileStatus {
    return this.#guard(path, () => this.#inContainer(path, this.#syscalls.statx(fd, '', AT_EMPTY_PATH)));
  }

  linkTarget(path: Buffer): Buffer {
    return this.#guard(path, () => {
      const { directory, name } = this.#place(path);
      return this.#syscalls.readlinkat(directory, name);
    });
  }

  /** Extended attributes, sorted by name. @param isWanted tells by the name which ones are read; default: all */
  xattrs(path: Buffer, isWanted: (name: Buffer) => boolean = () => true): Xattr[] {
    return this.#guard(path, () => {
      const place = this.#procPath(path);
      const names = this.#syscalls.listXattrs(place).filter(isWanted);
      return withValues(names, (name) => this.#syscalls.getXattr(place, name));
    });
  }

  /** The same of what `fd`, opened by {@link open}, is: cheaper, because nothing is looked up. */
  xattrsOfOpen(fd: number, path: Buffer, isWanted: (name: Buffer) => boolean = () => true): Xattr[] {
    return this.#guard(path, () => {
      const names = this.#syscalls.flistXattrs(fd).filter(isWanted);
      return withValues(names, (name) => this.#syscalls.fgetXattr(fd, name));
    });
  }

  /** Names of extended attributes, in no order. */
  xattrNames(path: Buffer): Buffer[] {
    return this.#guard(path, () => this.#syscalls.listXattrs(this.#procPath(path)));
  }

  /** One that is not there, or went with another name of the file, is no error. */
  removeXattr(path: Buffer, name: Buffer): void {
    this.#guard(path, () => {
      try {
        this.#syscalls.removeXattr(this.#procPath(path), name);
      } catch (error) {
        if (!hasErrno(error, 'ENODATA')) throw error;
      }
    });
  }

  xattr(path: Buffer, name: string): Buffer | undefined {
    return this.#guard(path, () => this.#syscalls.getXattr(this.#procPath(path), name));
  }

  /** Opens a regular file for reading; the caller closes it. A fifo that takes its place does not block. */
  open(path: Buffer): number {
    return this.#guard(path, () => {
      const { directory, name } = this.#place(path);
      return this.#syscalls.openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    });
  }

  absolutePath(path: Buffer): Buffer {
    return path.length === 0 ? Buffer.from(this.path) : Buffer.concat([Buffer.from(`${this.path}/`), path]);
  }

  [Symbol.dispose](): void {
    this.#closeDirectory();
    this.#syscalls.close(this.#root);
  }

  /** Marks of deletion belong to whoever mounts, and are in no map. */
  #inContainer(path: Buffer, status: FileStatus): FileStatus {
    if (this.idMaps === undefined || isWhiteoutDevice(status) || isAufsMarker(baseName(path))) return status;
    return { ...status, ...toContainer(this.idMaps, status) };
  }

  #place(path: Buffer): Place {
    if (path.length === 0) return { directory: this.#root, name: SELF };
    return { directory: this.#directory(parentOf(path)), name: baseName(path) };
  }

  /** Attribute calls have no form relative to a descriptor; the link in /proc leads to the open directory itself. */
  #procPath(path: Buffer): Buffer {
    const { directory, name } = this.#place(path);
    return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
  }

  #directory(path: Buffer): number {
    if (path.length === 0) return this.#root;
    if (this.#openPath?.equals(path) === true) return this.#openFd;
    this.#closeDirectory();
    const how = { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: WITHIN };
    this.#openFd = this.#syscalls.openat2(this.#root, path, how);
    this.#openPath = Buffer.from(path);
    return this.#openFd;
  }

  #closeDirectory(): void {
    if (this.#openPath === undefined) return;
    this.#openPath = undefined;
    this.#syscalls.close(this.#openFd);
  }

  #guard<Result>(path: Buffer, run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      throw this.#error(path, error);
    }
  }

  #error(path: Buffer, error: unknown): StoreError {
    const subject = pathText(this.absolutePath(path));
    if (StoreError.is(error) && error.subject === undefined) {
      const { hint } = error;
      return new StoreError(error.code, error.message, {
        subject,
        ...(hint === undefined ? {} : { hint }),
        cause: error,
      });
    }
    if (hasErrno(error, 'EXDEV')) {
      return new StoreError('ERR_BUSY', 'another file system is mounted there', {
        subject,
        hint: 'unmount it first: what lies below cannot be read',
        cause: error,
      });
    }
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) {
      return new StoreError('ERR_IO', 'the entry changed while the tree was read', {
        subject,
        hint: 'stop or pause whatever writes there, and try again',
        cause: error,
      });
    }
    return fromSystemError(error, subject);
  }
}

/** An attribute that has gone since the names were listed is left out. */
function withValues(names: Buffer[], valueOf: (name: Buffer) => Buffer | undefined): Xattr[] {
  return names.sort(byBytes).flatMap((name) => {
    const value = valueOf(name);
    return value === undefined ? [] : [{ name, value }];
  });
}
