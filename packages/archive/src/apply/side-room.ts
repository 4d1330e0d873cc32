/**
 * A directory inside the tree for files that are needed only while the archive is applied: on the same file system, so
 * that renames and hard links work, and under a random name, which no archive can guess. It is made when it is first needed,
 * and removed with all it holds before the layer is done; a layer that fails is deleted as a whole.
 */
import { randomBytes } from 'node:crypto';
import { AT_REMOVEDIR, type FileSyscalls } from '@layerstore/linux';
import type { Directories } from './directories.js';
import type { Directory } from './directory.js';

export class SideRoom {
  readonly #syscalls: FileSyscalls;
  readonly #directories: Directories;
  readonly #rootPath: string;
  #directory: Directory | undefined;
  #count = 0;

  constructor(syscalls: FileSyscalls, directories: Directories, rootPath: string) {
    this.#syscalls = syscalls;
    this.#directories = directories;
    this.#rootPath = rootPath;
  }

  directory(): Directory {
    return (this.#directory ??= this.#make());
  }

  /** A name that is not taken. */
  freshName(): Buffer {
    return Buffer.from(String(this.#count++));
  }

  /** Absolute path of an entry. */
  pathOf(name: Buffer): string {
    return `${this.#rootPath}/${this.directory().path}/${name.toString()}`;
  }

  /** Removes the directory, where it was made. It holds files only. */
  clear(): void {
    const directory = this.#directory;
    if (directory === undefined) return;
    const { root } = this.#directories;
    const fd = this.#directories.open(directory);
    for (const name of this.#directories.list(directory)) this.#syscalls.unlinkat(fd, name, 0);
    this.#directories.forget(directory);
    this.#directory = undefined;
    this.#syscalls.unlinkat(root.fd, directory.name, AT_REMOVEDIR);
  }

  #make(): Directory {
    const { root } = this.#directories;
    const name = Buffer.from(`.layerstore-${randomBytes(16).toString('hex')}`);
    this.#syscalls.mkdirat(root.fd, name, 0o700);
    return this.#directories.add(root, name, { kind: 'implied' }, 0o700);
  }
}
