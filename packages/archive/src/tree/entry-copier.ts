/** Makes copies of single entries in a directory tree that nobody else writes into. */
import { StoreError } from '@layerstore/core';
import {
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  S_IFMT,
  type FileStatus,
  type Syscalls,
} from '@layerstore/linux';
import type { Xattr } from '../tar/entry.js';
import { ContentCopier } from './copy-content.js';
import { fileKind } from './file-kind.js';
import type { TreeFiles } from './tree-files.js';

/** What is copied: `path` in the tree that `files` reads. */
export interface CopiedEntry {
  readonly files: TreeFiles;
  readonly path: Buffer;
}

export interface EntryCopierOptions {
  readonly syscalls: Syscalls;
  /** Descriptor of the root of the tree. */
  readonly root: number;
  /** The attributes that the copy of an entry gets. */
  readonly xattrs: (files: TreeFiles, path: Buffer) => readonly Xattr[];
}

const labelName = 'security.selinux';

export class EntryCopier {
  readonly #syscalls: Syscalls;
  readonly #content: ContentCopier;

  constructor(private readonly options: EntryCopierOptions) {
    this.#syscalls = options.syscalls;
    this.#content = new ContentCopier(options.syscalls);
  }

  /** Only the owner may look into it until it is finished. */
  makeDirectory(to: Buffer): void {
    this.#syscalls.mkdirat(this.options.root, to, 0o700);
  }

  /** A copy of anything but a directory, complete with its attributes. @throws StoreError ERR_IO */
  copy(entry: CopiedEntry, status: FileStatus, to: Buffer): void {
    const kind = fileKind(status);
    if (kind === 'file') this.#copyFile(entry, to);
    else {
      if (kind === 'symlink') this.#syscalls.symlinkat(entry.files.linkTarget(entry.path), this.options.root, to);
      else {
        const { mode, specialMajor, specialMinor } = status;
        this.#syscalls.mknodat(this.options.root, to, mode & S_IFMT, specialMajor, specialMinor);
      }
      this.finish(entry, status, to);
    }
  }

  /**
   * Attributes, in the order that the kernel needs: chown drops setuid bits and file capabilities, so mode and extended
   * attributes follow it; times come last. Directories get theirs after their content, which also keeps a default ACL
   * from being inherited by it.
   */
  finish(entry: CopiedEntry, status: FileStatus, to: Buffer): void {
    const { root } = this.options;
    const name = to.length === 0 ? Buffer.from('.') : to;
    this.#syscalls.fchownat(root, name, status.uid, status.gid, AT_SYMLINK_NOFOLLOW);
    this.#copyXattrs(entry, name);
    if (fileKind(status) !== 'symlink') this.#syscalls.fchmodat(root, name, status.mode & 0o7777);
    this.#syscalls.utimensat(root, name, status.accessedNs, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
  }

  #copyFile(entry: CopiedEntry, to: Buffer): void {
    const { files, path } = entry;
    const from = files.open(path);
    try {
      // The status of the open file: the name may have been given to another since.
      const status = files.statusOfOpen(from, path);
      if (fileKind(status) !== 'file') throw new StoreError('ERR_IO', 'the entry changed while the tree was read');
      const made = this.#syscalls.openat(this.options.root, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        this.#content.copy(from, made, status);
      } finally {
        this.#syscalls.close(made);
      }
      this.finish(entry, status, to);
    } finally {
      this.#syscalls.close(from);
    }
  }

  #copyXattrs({ files, path }: CopiedEntry, name: Buffer): void {
    const xattrs = this.options.xattrs(files, path);
    if (xattrs.length === 0) return;
    const target = Buffer.concat([Buffer.from(`/proc/self/fd/${this.options.root}/`), name]);
    for (const xattr of xattrs) {
      try {
        this.#syscalls.setXattr(target, xattr.name, xattr.value);
      } catch (error) {
        // A label is the host's own matter, and not every file system of a host has labels.
        if (xattr.name.toString() === labelName && hasErrno(error, 'ENOTSUP')) continue;
        throw error;
      }
    }
  }
}

/** The attributes with one SELinux label instead of whatever label they have. */
export function withLabel(xattrs: readonly Xattr[], label: string): Xattr[] {
  // The kernel keeps labels with their final NUL.
  const own = { name: Buffer.from(labelName), value: Buffer.from(`${label}\0`) };
  return [...xattrs.filter(({ name }) => name.toString('latin1') !== labelName), own];
}
