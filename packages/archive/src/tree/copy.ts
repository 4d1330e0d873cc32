/**
 * Copies of whole trees: the base of a vfs layer, the upper of a forked workspace.
 */
import { fromSystemError, StoreError } from '@layerstore/core';
import { nativeSyscalls, type FileStatus, type Syscalls } from '@layerstore/linux';
import { openEmptyDirectory } from './empty-directory.js';
import { EntryCopier, withLabel } from './entry-copier.js';
import { inodeKey, isDirectory } from './file-kind.js';
import { joinPath, pathText, ROOT } from './paths.js';
import { TreeFiles } from './tree-files.js';

export interface CopyTreeOptions {
  /** SELinux label that every copy gets instead of the original's. */
  readonly label?: string;
}

/**
 * Copies the content and the attributes of the directory `from` to the directory `to`: files of every type with mode,
 * owner, all extended attributes (overlay marks included), nanosecond times, hard links and holes. Content is shared
 * where the file system can share extents (btrfs, xfs), and otherwise copied inside the kernel where it can.
 *
 * `to` is created if it is missing and has to be empty; no one else may write there meanwhile. Nothing is synced. A
 * copy that fails leaves what it has made: the caller works in a staging directory.
 * @throws StoreError ERR_EXISTS when `to` is not empty, ERR_NO_SPACE, ERR_IO
 */
export function copyTree(from: string, to: string, options: CopyTreeOptions = {}): void {
  using source = new TreeFiles(from);
  using copy = new TreeCopy(source, to, options);
  copy.run();
}

class TreeCopy implements Disposable {
  readonly #syscalls: Syscalls = nativeSyscalls();
  readonly #root: number;
  readonly #copier: EntryCopier;
  /** First copy of each inode that has several names. */
  readonly #linked = new Map<string, Buffer>();

  constructor(
    private readonly source: TreeFiles,
    private readonly to: string,
    { label }: CopyTreeOptions,
  ) {
    this.#root = openEmptyDirectory(this.#syscalls, to);
    this.#copier = new EntryCopier({
      syscalls: this.#syscalls,
      root: this.#root,
      xattrs: (files, path) => (label === undefined ? files.xattrs(path) : withLabel(files.xattrs(path), label)),
    });
  }

  run(): void {
    const status = this.source.status(ROOT);
    if (status === undefined) throw new StoreError('ERR_IO', 'the directory is gone', { subject: this.source.path });
    this.#copyChildren(ROOT);
    this.#copier.finish({ files: this.source, path: ROOT }, status, ROOT);
  }

  [Symbol.dispose](): void {
    this.#syscalls.close(this.#root);
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
    const entry = { files: this.source, path };
    if (isDirectory(status)) {
      this.#copier.makeDirectory(path);
      this.#copyChildren(path);
      this.#copier.finish(entry, status, path);
    } else if (!this.#linkToCopy(path, status)) {
      this.#copier.copy(entry, status, path);
    }
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
}
