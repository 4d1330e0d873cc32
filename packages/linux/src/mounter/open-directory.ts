import { AT_EMPTY_PATH, MS_PRIVATE, O_DIRECTORY, O_RDONLY, OPEN_TREE_CLONE } from '../constants.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

/** Directories that are open while a mount is made of them. */
export class OpenDirectories implements Disposable {
  readonly #descriptors: number[] = [];

  /** @param userNamespace the directories opened by {@link lower} show their owners as it maps them */
  constructor(
    private readonly sys: Syscalls,
    private readonly userNamespace?: number,
  ) {}

  /** Opens a directory for reading: not all kernels take O_PATH ones. */
  plain(path: string): number {
    return this.#keep(this.sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  }

  /** The same, by a mount of its own with mapped owners where there is a map; the directory itself is not changed. */
  lower(path: string): number {
    if (this.userNamespace === undefined) return this.plain(path);
    const tree = this.#keep(openMapped(this.sys, path, this.userNamespace));
    return this.#keep(this.sys.openat(tree, '.', O_RDONLY | O_DIRECTORY));
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#descriptors) this.sys.close(descriptor);
  }

  #keep(descriptor: number): number {
    this.#descriptors.push(descriptor);
    return descriptor;
  }
}

/**
 * A detached mount of a directory that shows its owners as the user namespace maps them (mount_setattr(2)).
 * @throws SystemError EINVAL where the file system cannot do it
 */
export function openMapped(sys: Syscalls, path: string, userNamespace: number): number {
  const tree = sys.openTree(path, OPEN_TREE_CLONE);
  try {
    sys.mountSetattr(tree, '', AT_EMPTY_PATH, { set: 0, clear: 0, propagation: MS_PRIVATE, userNamespace });
    return tree;
  } catch (error) {
    sys.close(tree);
    throw error;
  }
}
