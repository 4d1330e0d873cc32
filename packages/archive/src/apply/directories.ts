/**
 * The directories of a tree that is being filled, and how they are reached.
 *
 * Nothing in a layer is addressed by more than one component at a time: every call names a single entry of an open
 * directory, and a directory is opened from its parent with O_NOFOLLOW. So no name of an archive, and no symlink that
 * a member planted, can lead out of the tree. Few directories are kept open at once; the others are opened again from
 * the nearest open ancestor.
 */
import { readdirSync } from 'node:fs';
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, type FileSyscalls } from '@layerstore/linux';
import { Directory, type DirectoryState } from './directory.js';

/** Well below the usual limit of 1,024 descriptors, also with several workers. */
const MAX_OPEN = 64;

export class Directories implements Disposable {
  readonly root: Directory;
  readonly #byPath = new Map<string, Directory>();
  /** Least recently opened first; the root is not in it. */
  readonly #open = new Set<Directory>();
  readonly syscalls: FileSyscalls;

  /** Opens the root. @throws SystemError */
  constructor(syscalls: FileSyscalls, rootPath: string) {
    this.syscalls = syscalls;
    this.root = new Directory(undefined, '', { kind: 'implied' }, undefined);
    this.root.fd = syscalls.openat(AT_FDCWD, rootPath, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#byPath.set('', this.root);
  }

  find(path: string): Directory | undefined {
    return this.#byPath.get(path);
  }

  /** All of them, parents before their children. */
  values(): Iterable<Directory> {
    return this.#byPath.values();
  }

  /** Takes note of a directory that stands in the tree. */
  add(parent: Directory, name: Uint8Array, state: DirectoryState, madeMode: number | undefined): Directory {
    const path = parent.pathOf(name);
    const directory = new Directory(parent, path, state, madeMode);
    this.#byPath.set(path, directory);
    parent.adopt(directory);
    return directory;
  }

  /** The descriptor of a directory; valid until two further directories have been opened. */
  open(directory: Directory): number {
    if (directory.fd >= 0) {
      if (this.#open.delete(directory)) this.#open.add(directory);
      return directory.fd;
    }
    directory.fd = this.#reopen(directory);
    this.#open.add(directory);
    if (this.#open.size > MAX_OPEN) this.#closeOldest();
    return directory.fd;
  }

  /** The names in a directory. */
  list(directory: Directory): Buffer[] {
    return readdirSync(`/proc/self/fd/${this.open(directory)}`, { encoding: 'buffer' });
  }

  /** Forgets a directory with all below it: it is being removed from the tree. */
  forget(directory: Directory): void {
    for (const child of directory.children) this.forget(child);
    directory.parent?.disown(directory);
    directory.removed = true;
    this.#byPath.delete(directory.path);
    if (this.#open.delete(directory)) this.#close(directory);
  }

  /** Closes every descriptor. */
  [Symbol.dispose](): void {
    for (const directory of this.#open) this.#close(directory);
    this.#open.clear();
    if (this.root.fd >= 0) this.#close(this.root);
  }

  #reopen(directory: Directory): number {
    const missing: Directory[] = [];
    let from: Directory = directory;
    while (from.fd < 0 && from.parent !== undefined) {
      missing.push(from);
      from = from.parent;
    }
    let fd = from.fd;
    for (let next = missing.pop(); next !== undefined; next = missing.pop()) {
      try {
        const opened = this.syscalls.openat(fd, next.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd !== from.fd) this.syscalls.close(fd);
        fd = opened;
      } catch (error) {
        if (fd !== from.fd) this.syscalls.close(fd);
        throw error;
      }
    }
    return fd;
  }

  #closeOldest(): void {
    for (const oldest of this.#open) {
      this.#open.delete(oldest);
      this.#close(oldest);
      return;
    }
  }

  #close(directory: Directory): void {
    const fd = directory.fd;
    directory.fd = -1;
    this.syscalls.close(fd);
  }
}
