import { StoreError } from '@layerstore/core';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  hasErrno,
  nativeSyscalls,
  O_DIRECTORY,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '@layerstore/linux';
import type { LayerTree } from '../layer-tree.js';
import { fileKind } from '../tree/file-kind.js';
import { cleanName, nameText } from './member-name.js';

/** Opens the files of a layer by the names that its archive gave them: the other half of `joinTarSplit`. */
export class LayerFiles implements Disposable {
  readonly #syscalls = nativeSyscalls();
  readonly #root: number;

  /** @throws SystemError when the directory cannot be opened */
  constructor(tree: LayerTree) {
    this.#root = this.#syscalls.openat(AT_FDCWD, tree.path, O_RDONLY | O_DIRECTORY);
  }

  /**
   * A descriptor of the regular file that is found under a member's name, never outside the layer, whatever symlinks it
   * holds; the caller closes it.
   * @throws StoreError ERR_STORE_DAMAGED when there is none
   */
  readonly open = (name: Buffer): number => {
    const fd = this.#open(name);
    const kind = fileKind(this.#syscalls.statx(fd, '', AT_EMPTY_PATH));
    if (kind === 'file') return fd;
    this.#syscalls.close(fd);
    throw damaged(name, `is now a ${kind}`);
  };

  [Symbol.dispose](): void {
    this.#syscalls.close(this.#root);
  }

  #open(name: Buffer): number {
    try {
      // A fifo or terminal that has taken the file's place neither blocks nor becomes ours.
      return this.#syscalls.openat2(this.#root, cleanName(name), {
        flags: O_RDONLY | O_NONBLOCK | O_NOCTTY,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
      });
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) throw damaged(name, 'is missing', error);
      throw error;
    }
  }
}

function damaged(name: Buffer, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', `the file ${reason}`, {
    subject: nameText(name),
    hint: 'remove the image and load it again',
    cause,
  });
}
