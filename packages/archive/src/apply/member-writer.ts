/**
 * Makes the entries that an archive lists. Everything is created exclusively: what stands there already, be it of
 * this archive or from before, is removed first, never opened, so a file that has other names keeps its content.
 */
import { StoreError } from '@layerstore/core';
import {
  hasErrno,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
  type FileSyscalls,
} from '@layerstore/linux';
import type { TarEntry } from '../tar/entry.js';
import { isDirectory } from '../tree/file-kind.js';
import { attributesOf, checkOwner, type AttributeWriter } from './attributes.js';
import type { Directories } from './directories.js';
import type { Directory } from './directory.js';
import type { LayerContents } from './layer-contents.js';
import type { PathWalker, Place } from './path-walker.js';

/** Content as the archive delivers it; holes of sparse files are left out. */
export interface ContentChunk {
  readonly data: Buffer;
  /** In the expanded file. */
  readonly offset: number;
}

const PERMISSION_BITS = 0o777;
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
/** What the kernel keeps of a device number; a greater one would lose bits and could come out as 0:0. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

export class MemberWriter {
  readonly #contents: LayerContents;
  readonly #syscalls: FileSyscalls;
  readonly #directories: Directories;
  readonly #attributes: AttributeWriter;
  readonly #walker: PathWalker;

  constructor(contents: LayerContents, attributes: AttributeWriter, walker: PathWalker) {
    this.#contents = contents;
    this.#syscalls = contents.syscalls;
    this.#directories = contents.directories;
    this.#attributes = attributes;
    this.#walker = walker;
  }

  /** Sets the attributes of the root. */
  root(entry: TarEntry): void {
    checkOwner(entry);
    if (entry.type !== 'directory') throw malformed(`the root of the layer cannot be a ${entry.type}`);
    this.#list(this.#directories.root, entry);
  }

  /**
   * Makes any member but a hard link. A directory that is there already stays, with the attributes of the last member;
   * everything else is replaced.
   * @throws StoreError ERR_MALFORMED_ARCHIVE for what no file can be
   */
  write(place: Place, entry: TarEntry, content: () => Iterable<ContentChunk>): void {
    checkOwner(entry);
    if (entry.type === 'file') this.#file(place, entry, content());
    else if (entry.type === 'directory') this.#directory(place, entry);
    else if (entry.type === 'symlink') this.#symlink(place, entry);
    else if (entry.type === 'hardlink') throw new StoreError('ERR_INTERNAL', 'a hard link has no content of its own');
    else this.#node(place, entry);
  }

  /** A further name of `target`, which is not a directory. A link to itself changes nothing. */
  hardLink(place: Place, target: Place): void {
    const { name } = place;
    const isItself = place.directory === target.directory && name.equals(target.name);
    if (!isItself) {
      this.#create(place, (parent) => {
        const from = this.#directories.open(target.directory);
        this.#syscalls.linkat(from, target.name, parent, name, 0);
      });
    }
    this.#contents.own(place.directory, name, target.directory.pathOf(target.name));
  }

  /** Takes the name for something that comes later. */
  placeholder(place: Place): void {
    this.#create(place, (parent) => this.#syscalls.mknodat(parent, place.name, S_IFSOCK, 0, 0));
    this.#contents.own(place.directory, place.name);
  }

  #directory(place: Place, entry: TarEntry): void {
    const known = this.#directories.find(place.directory.pathOf(place.name));
    this.#list(known ?? this.#newDirectory(place, entry), entry);
  }

  #file(place: Place, entry: TarEntry, content: Iterable<ContentChunk>): void {
    const { directory, name } = place;
    const mode = entry.mode & PERMISSION_BITS;
    const fd = this.#create(place, (parent) => this.#syscalls.openat(parent, name, NEW_FILE, mode));
    try {
      this.#fill(fd, entry, content);
      this.#attributes.finishFile(fd, entry, directory.inheritsGroup);
    } finally {
      this.#syscalls.close(fd);
    }
    this.#contents.own(directory, name);
  }

  #symlink(place: Place, entry: TarEntry): void {
    const { name } = place;
    if (entry.linkName.length === 0) throw malformed('the symbolic link has no target');
    if (entry.linkName.includes(0)) throw malformed('the target of the symbolic link holds NUL');
    this.#create(place, (parent) => this.#syscalls.symlinkat(entry.linkName, parent, name));
    this.#finishNode(place, entry);
  }

  /** Devices and fifos. */
  #node(place: Place, entry: TarEntry): void {
    const { name } = place;
    const type = nodeType(entry);
    const mode = type | (entry.mode & PERMISSION_BITS);
    const [major, minor] = type === S_IFIFO ? [0, 0] : checkDevice(entry);
    this.#create(place, (parent) => this.#syscalls.mknodat(parent, name, mode, major, minor));
    this.#finishNode(place, entry);
  }

  #newDirectory(place: Place, entry: TarEntry): Directory {
    const { directory: parent, name } = place;
    const mode = entry.mode & PERMISSION_BITS;
    try {
      this.#syscalls.mkdirat(this.#directories.open(parent), name, mode);
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
      const status = this.#contents.status(parent, name);
      if (status === undefined) throw error;
      if (isDirectory(status)) return this.#contents.takeUp(parent, name, status);
      return this.#walker.replaceByDirectory(place, status, entry.modifiedNs);
    }
    return this.#directories.add(parent, name, { kind: 'implied' }, mode);
  }

  #list(directory: Directory, entry: TarEntry): void {
    directory.state = { kind: 'listed', attributes: attributesOf(entry) };
    directory.defaultAcl = undefined;
    directory.noteContent(entry.modifiedNs);
  }

  #fill(fd: number, entry: TarEntry, content: Iterable<ContentChunk>): void {
    if (entry.size === 0) return;
    if (entry.sparse === undefined) {
      for (const { data } of content) this.#syscalls.write(fd, data);
      return;
    }
    for (const { data, offset } of content) this.#syscalls.write(fd, data, offset);
    this.#syscalls.ftruncate(fd, entry.size);
  }

  #finishNode(place: Place, entry: TarEntry): void {
    const parent = this.#directories.open(place.directory);
    this.#attributes.finishNode(parent, place.name, entry, place.directory.inheritsGroup);
    this.#contents.own(place.directory, place.name);
  }

  #create<T>(place: Place, make: (parent: number) => T): T {
    try {
      return make(this.#directories.open(place.directory));
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
    this.#contents.remove(place.directory, place.name);
    return make(this.#directories.open(place.directory));
  }
}

function nodeType(entry: TarEntry): number {
  if (entry.type === 'character') return S_IFCHR;
  return entry.type === 'block' ? S_IFBLK : S_IFIFO;
}

function checkDevice(entry: TarEntry): [number, number] {
  const { deviceMajor: major, deviceMinor: minor } = entry;
  const fits = (value: number, limit: number): boolean => Number.isInteger(value) && value >= 0 && value <= limit;
  if (!fits(major, MAX_MAJOR) || !fits(minor, MAX_MINOR))
    throw malformed(`the device number ${major}:${minor} does not exist`);
  if (entry.type === 'character' && major === 0 && minor === 0) {
    throw malformed('a character device 0:0 would hide a name of the lower layers');
  }
  return [major, minor];
}

function malformed(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', reason);
}
