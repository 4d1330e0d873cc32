/**
 * Copies of whole trees: the base of a vfs layer, the upper of a forked workspace.
 */
import { fromSystemError, StoreError } from '@layerstore/core';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  nativeSyscalls,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFMT,
  type FileStatus,
  type Syscalls,
} from '@layerstore/linux';
import { ContentCopier } from './copy-content.js';
import { fileKind, inodeKey, type FileKind } from './file-kind.js';
import { joinPath, pathText, ROOT } from './paths.js';
import { TreeFiles } from './tree-files.js';

/**
 * Copies the content and the attributes of the directory `from` to the directory `to`: files of every type with mode,
 * owner, all extended attributes (overlay marks included), nanosecond times, hard links and holes. Content is shared
 * where the file system can share extents (btrfs, xfs), and otherwise copied inside the kernel where it can.
 *
 * `to` is created if it is missing and has to be empty; no one else may write there meanwhile. Nothing is synced. A
 * copy that fails leaves what it has made: the caller works in a staging directory.
 * @throws StoreError ERR_EXISTS when `to` is not empty, ERR_NO_SPACE, ERR_IO
 */
export function copyTree(from: string, to: string): void {
  using source = new TreeFiles(from);
  using copy = new TreeCopy(source, to);
  copy.run();
}

class TreeCopy implements Disposable {
  readonly #syscalls: Syscalls = nativeSyscalls();
  readonly #content = new ContentCopier(this.#syscalls);
  readonly #root: number;
  /** First copy of each inode that has several names. */
  readonly #linked = new Map<string, Buffer>();

  constructor(
    private readonly source: TreeFiles,
    private readonly to: string,
  ) {
    this.#root = this.#openRoot();
  }

  run(): void {
    const status = this.source.status(ROOT);
    if (status === undefined) throw new StoreError('ERR_IO', 'the directory is gone', { subject: this.source.path });
    this.#copyChildren(ROOT);
    this.#finish(ROOT, status);
  }

  [Symbol.dispose](): void {
    this.#syscalls.close(this.#root);
  }

  #openRoot(): number {
    try {
      try {
        this.#syscalls.mkdirat(AT_FDCWD, this.to, 0o700);
      } catch (error) {
        if (!hasErrno(error, 'EEXIST')) throw error;
      }
      using target = new TreeFiles(this.to);
      if (target.names(ROOT).length > 0) {
        throw new StoreError('ERR_EXISTS', 'the directory to copy to is not empty', { subject: this.to });
      }
      return this.#syscalls.openat(AT_FDCWD, this.to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } catch (error) {
      throw fromSystemError(error, this.to);
    }
  }

  #copyChildren(directory: Buffer): void {
    for (const name of this.source.names(directory)) {
      const path = joinPath(directory, name);
      const status = this.source.status(path);
      // Deleted since the directory was listed.
      if (status === undefined) continue;
      try {
        this.#copyEntry(path, status);
      } catch (error) {
        throw fromSystemError(error, `${this.to}/${pathText(path)}`);
      }
    }
  }

  #copyEntry(path: Buffer, status: FileStatus): void {
    const kind = fileKind(status);
    if (kind === 'directory') {
      this.#syscalls.mkdirat(this.#root, path, 0o700);
      this.#copyChildren(path);
      this.#finish(path, status);
    } else if (this.#linkToCopy(path, status)) {
      return;
    } else if (kind === 'file') {
      this.#copyFile(path);
    } else {
      this.#copySpecial(path, kind, status);
    }
  }

  #copySpecial(path: Buffer, kind: FileKind, status: FileStatus): void {
    if (kind === 'symlink') this.#syscalls.symlinkat(this.source.linkTarget(path), this.#root, path);
    else this.#syscalls.mknodat(this.#root, path, status.mode & S_IFMT, status.specialMajor, status.specialMinor);
    this.#finish(path, status);
  }

  /** True when the inode was copied before under another name, and now has this one too. */
  #linkToCopy(path: Buffer, status: FileStatus): boolean {
    if (status.links < 2) return false;
    const key = inodeKey(status);
    const first = this.#linked.get(key);
    if (first === undefined) this.#linked.set(key, path);
    else this.#syscalls.linkat(this.#root, first, this.#root, path, 0);
    return first !== undefined;
  }

  #copyFile(path: Buffer): void {
    const from = this.source.open(path);
    try {
      // The status of the open file: the name may have been given to another since.
      const status = this.source.statusOfOpen(from, path);
      if (fileKind(status) !== 'file') throw new StoreError('ERR_IO', 'the entry changed while the tree was read');
      const to = this.#syscalls.openat(this.#root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        this.#content.copy(from, to, status);
      } finally {
        this.#syscalls.close(to);
      }
      this.#finish(path, status);
    } finally {
      this.#syscalls.close(from);
    }
  }

  /**
   * Attributes, in the order that the kernel needs: chown drops setuid bits and file capabilities, so mode and extended
   * attributes follow it; times come last. Directories get theirs after their content, which also keeps a default ACL
   * from being inherited by it.
   */
  #finish(path: Buffer, status: FileStatus): void {
    const name = path.length === 0 ? Buffer.from('.') : path;
    this.#syscalls.fchownat(this.#root, name, status.uid, status.gid, AT_SYMLINK_NOFOLLOW);
    this.#copyXattrs(path, name);
    if (fileKind(status) !== 'symlink') this.#syscalls.fchmodat(this.#root, name, status.mode & 0o7777);
    this.#syscalls.utimensat(this.#root, name, status.accessedNs, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
  }

  #copyXattrs(path: Buffer, name: Buffer): void {
    const xattrs = this.source.xattrs(path);
    if (xattrs.length === 0) return;
    const target = Buffer.concat([Buffer.from(`/proc/self/fd/${this.#root}/`), name]);
    for (const xattr of xattrs) {
      try {
        this.#syscalls.setXattr(target, xattr.name, xattr.value);
      } catch (error) {
        // A label is the host's own matter, and not every file system of a host has labels.
        if (xattr.name.toString() === 'security.selinux' && hasErrno(error, 'ENOTSUP')) continue;
        throw error;
      }
    }
  }
}
