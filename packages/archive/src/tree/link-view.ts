/**
 * Complete trees that share their files with the layers they come from: what the overlay driver keeps for images.
 */
import { fromSystemError, StoreError } from '@layerstore/core';
import { AT_FDCWD, hasErrno, nativeSyscalls, type Syscalls } from '@layerstore/linux';
import type { LayerTree } from '../layer-tree.js';
import { openEmptyDirectory } from './empty-directory.js';
import { EntryCopier } from './entry-copier.js';
import { isDirectory } from './file-kind.js';
import { readXattrs } from './overlay-marks.js';
import { joinPath, pathText, ROOT } from './paths.js';
import { LayerStack, type StackEntry } from './stack.js';

/**
 * Makes at `to` the tree that a stack shows. Directories are new, with the attributes that the stack shows; everything
 * else is one more name of the layer's own file, which therefore must never be written again. A file that has as many
 * names as the file system allows (65,000 on ext4) is copied.
 *
 * `to` is created if it is missing, has to be empty, and must lie on the layers' file system. Nothing is synced. Cost:
 * a system call or two for each entry of the view and layer.
 * @param trees uppermost first
 * @throws StoreError ERR_EXISTS when `to` is not empty, ERR_NO_SPACE, ERR_IO
 */
export function linkView(trees: readonly LayerTree[], to: string): void {
  // Owners go from disk to disk.
  using stack = new LayerStack(trees.map(({ path, dialect }) => ({ path, dialect })));
  using linking = new ViewLinking(stack, to);
  linking.run();
}

class ViewLinking implements Disposable {
  readonly #syscalls: Syscalls = nativeSyscalls();
  readonly #root: number;
  readonly #copier: EntryCopier;

  constructor(
    private readonly stack: LayerStack,
    private readonly to: string,
  ) {
    this.#root = openEmptyDirectory(this.#syscalls, to);
    this.#copier = new EntryCopier({
      syscalls: this.#syscalls,
      root: this.#root,
      xattrs: (files, path) => readXattrs(files, path).own,
    });
  }

  run(): void {
    const root = this.stack.lookup(ROOT);
    if (root === undefined) throw new StoreError('ERR_IO', 'the layer is gone', { subject: this.to });
    this.#linkChildren(ROOT);
    this.#finish(root, ROOT);
  }

  [Symbol.dispose](): void {
    this.#syscalls.close(this.#root);
  }

  #linkChildren(directory: Buffer): void {
    for (const name of this.stack.names(directory)) {
      const path = joinPath(directory, name);
      const entry = this.stack.lookup(path);
      if (entry === undefined) continue;
      try {
        this.#add(entry, path);
      } catch (error) {
        throw fromSystemError(error, `${this.to}/${pathText(path)}`);
      }
    }
  }

  #add(entry: StackEntry, path: Buffer): void {
    if (!isDirectory(entry.status)) {
      this.#link(entry, path);
      return;
    }
    this.#copier.makeDirectory(path);
    this.#linkChildren(path);
    this.#finish(entry, path);
  }

  #link(entry: StackEntry, path: Buffer): void {
    try {
      this.#syscalls.linkat(AT_FDCWD, entry.path, this.#root, path, 0);
    } catch (error) {
      if (!hasErrno(error, 'EMLINK')) throw error;
      this.#copier.copy({ files: entry.files, path: entry.relative }, entry.status, path);
    }
  }

  #finish({ files, relative, status }: StackEntry, path: Buffer): void {
    this.#copier.finish({ files, path: relative }, status, path);
  }
}
