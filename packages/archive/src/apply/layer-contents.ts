/**
 * What stands in the tree, and whose it is: made by this archive, or there before (only a complete tree holds its
 * parent's content).
 */
import { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, hasErrno, S_IFMT, S_IFREG } from '@layerstore/linux';
import type { FileStatus, FileSyscalls } from '@layerstore/linux';
import type { Dialect } from '../layer-tree.js';
import { isDirectory, isWhiteoutDevice } from '../tree/file-kind.js';
import type { AttributeWriter } from './attributes.js';
import type { Directories } from './directories.js';
import type { Directory } from './directory.js';
import type { LostContent } from './lost-content.js';
import { WHITEOUT_PREFIX } from './whiteout-name.js';

const whiteoutPrefix = Buffer.from(WHITEOUT_PREFIX);

export class LayerContents {
  readonly syscalls: FileSyscalls;
  readonly directories: Directories;
  readonly dialect: Dialect;
  readonly #attributes: AttributeWriter;
  readonly #lost: LostContent | undefined;
  readonly #followsSymlinks: boolean;
  /** Paths, in latin1, of what this archive made, directories excepted. Kept only where other content stands around it. */
  readonly #made: Set<string> | undefined;
  /** Those of them that are hard links to content from before. */
  readonly #lowerLinks = new Set<string>();

  constructor(parts: {
    syscalls: FileSyscalls;
    directories: Directories;
    dialect: Dialect;
    attributes: AttributeWriter;
    lost?: LostContent | undefined;
    /** Default true. */
    followsSymlinks?: boolean;
  }) {
    this.syscalls = parts.syscalls;
    this.directories = parts.directories;
    this.dialect = parts.dialect;
    this.#attributes = parts.attributes;
    this.#lost = parts.lost;
    this.#followsSymlinks = parts.followsSymlinks ?? true;
    this.#made = parts.dialect === 'complete' ? new Set() : undefined;
  }

  /** Notes that this archive made an entry that is not a directory. @param from the entry that it is a hard link to */
  own(directory: Directory, name: Buffer, from?: string): void {
    if (this.#made === undefined) return;
    const path = directory.pathOf(name);
    const isLower = from !== undefined && (!this.isOwn(from) || this.#lowerLinks.has(from));
    this.#made.add(path);
    if (isLower) this.#lowerLinks.add(path);
    else this.#lowerLinks.delete(path);
  }

  isOwn(path: string): boolean {
    return this.#made?.has(path) ?? true;
  }

  /** Whether a symlink there is this archive's own, and not a further name of one from before. */
  mayFollow(path: string): boolean {
    return this.#followsSymlinks && this.isOwn(path) && !this.#lowerLinks.has(path);
  }

  status(directory: Directory, name: Buffer): FileStatus | undefined {
    try {
      return this.syscalls.statx(this.directories.open(directory), name, AT_SYMLINK_NOFOLLOW);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** The target of a symlink, in latin1. */
  readSymlink(directory: Directory, name: Buffer): string {
    return this.syscalls.readlinkat(this.directories.open(directory), name).toString('latin1');
  }

  /** True for a whiteout in overlay form. Archives cannot bring one in: a device 0:0 is refused. */
  isWhiteout(status: FileStatus): boolean {
    return this.dialect === 'overlay' && isWhiteoutDevice(status);
  }

  /** True where a whiteout in aufs form stands beside the name. */
  isHiddenByFile(directory: Directory, name: Buffer): boolean {
    return this.dialect === 'aufs' && this.status(directory, Buffer.concat([whiteoutPrefix, name])) !== undefined;
  }

  /** Takes up a directory that was in the tree before, so that it gets its own times back in the end. */
  takeUp(parent: Directory, name: Buffer, status: FileStatus): Directory {
    const { accessedNs, modifiedNs } = status;
    const directory = this.directories.add(parent, name, { kind: 'found', accessedNs, modifiedNs }, undefined);
    this.#prepareFound(directory, status);
    return directory;
  }

  /** The same for the root. */
  takeUpRoot(): void {
    const { root } = this.directories;
    const status = this.syscalls.statx(root.fd, '', AT_EMPTY_PATH);
    const { accessedNs, modifiedNs } = status;
    root.state = { kind: 'found', accessedNs, modifiedNs };
    this.#prepareFound(root, status);
  }

  /** Removes whatever stands there, with everything below; content that tar-split refers to is put aside. */
  remove(directory: Directory, name: Buffer, status = this.status(directory, name)): void {
    if (status === undefined) return;
    if (isDirectory(status)) {
      this.#removeDirectory(directory, name, status);
      return;
    }
    const isFile = (status.mode & S_IFMT) === S_IFREG;
    if (isFile && status.size > 0 && this.#lost !== undefined && this.isOwn(directory.pathOf(name))) {
      this.#lost.putAside(directory, name);
      return;
    }
    this.syscalls.unlinkat(this.directories.open(directory), name, 0);
  }

  /** Keeps what a directory would hand down to new entries from doing so. */
  #prepareFound(directory: Directory, status: FileStatus): void {
    directory.inheritsGroup = (status.mode & 0o2000) !== 0 || status.gid !== 0;
    directory.defaultAcl = this.#attributes.takeDefaultAcl(this.directories.open(directory));
  }

  #removeDirectory(parent: Directory, name: Buffer, status: FileStatus): void {
    const directory = this.directories.find(parent.pathOf(name)) ?? this.takeUp(parent, name, status);
    for (const entry of this.directories.list(directory)) this.remove(directory, entry);
    this.directories.forget(directory);
    this.syscalls.unlinkat(this.directories.open(parent), name, AT_REMOVEDIR);
  }
}
