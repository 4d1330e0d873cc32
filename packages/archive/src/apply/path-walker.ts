/**
 * Finds the directory that a path means.
 *
 * A component that is a symlink of this archive is followed inside the root, as an unpacker does that is chrooted into it
 * (the resolution of openat2(2) with RESOLVE_IN_ROOT: `..` ends at the root, an absolute target starts there). A symlink
 * that was there before counts as in the way: in the other dialects it lies in a lower layer and cannot be followed, and
 * all drivers give one result.
 */
import { StoreError } from '@layerstore/core';
import { S_IFLNK, S_IFMT, type FileStatus } from '@layerstore/linux';
import { isDirectory } from '../tree/file-kind.js';
import { IMPLIED_MODE } from './attributes.js';
import type { Directory } from './directory.js';
import type { LayerContents } from './layer-contents.js';
import { cleanName, nameText } from './member-name.js';

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;

/** An entry of a directory that is known. */
export interface Place {
  readonly directory: Directory;
  readonly name: Buffer;
}

/** What a path leads to. */
export interface Sighting {
  /** Absent when the directory is missing. */
  readonly place: Place | undefined;
  /** The path without symlinks, in latin1. */
  readonly path: string;
  /** This archive has put something of its own in the place of what lower layers may have there. */
  readonly replaced: boolean;
}

/** What becomes of components that are missing or in the way. */
interface Steps {
  /** Returns the directory to go on with, or `undefined` to give up. */
  missing(parent: Directory, name: string): Directory | undefined;
  blocked(parent: Directory, name: string, status: FileStatus): Directory | undefined;
}

export class PathWalker {
  readonly #contents: LayerContents;
  readonly #cut: (directory: Directory) => void;

  /** @param cut makes a directory opaque that took the place of something else */
  constructor(contents: LayerContents, cut: (directory: Directory) => void) {
    this.#contents = contents;
    this.#cut = cut;
  }

  /** The directory at `path`, made where it is missing; what is in the way is replaced. @param modifiedNs time of what is put there */
  make(path: Buffer, modifiedNs: bigint): Directory {
    const directory = this.#walk(path, {
      missing: (parent, name) => this.makeDirectory({ directory: parent, name: bytes(name) }, modifiedNs),
      blocked: (parent, name, status) =>
        this.replaceByDirectory({ directory: parent, name: bytes(name) }, status, modifiedNs),
    });
    if (directory === undefined)
      throw new StoreError('ERR_INTERNAL', 'no directory was made', { subject: nameText(path) });
    return directory;
  }

  /**
   * The directory at `path` for a whiteout. `undefined` where there can be nothing to hide: below a whiteout or a file; in
   * a complete tree also where nothing is.
   */
  makeForWhiteout(path: Buffer, modifiedNs: bigint): Directory | undefined {
    return this.#walk(path, {
      missing: (parent, name) =>
        this.#contents.dialect === 'complete' || this.#contents.isHiddenByFile(parent, bytes(name))
          ? undefined
          : this.makeDirectory({ directory: parent, name: bytes(name) }, modifiedNs),
      blocked: () => undefined,
    });
  }

  /** Where the entry `path` is, or would be, without making anything. */
  look(path: Buffer): Sighting {
    const slash = path.lastIndexOf(0x2f);
    const name = path.subarray(slash + 1);
    let reached = '';
    let replaced = false;
    const stop = (parent: Directory, component: string, status?: FileStatus): undefined => {
      reached = parent.pathOf(bytes(component));
      const isOwnFile = status !== undefined && !this.#contents.isWhiteout(status) && this.#contents.isOwn(reached);
      replaced = isOwnFile || parent.isReplaced;
      return undefined;
    };
    const unwalked: string[] = [];
    const directory = this.#walk(path.subarray(0, Math.max(slash, 0)), { missing: stop, blocked: stop }, unwalked);
    if (directory !== undefined) {
      return { place: { directory, name }, path: directory.pathOf(name), replaced: directory.isReplaced };
    }
    const rest = [reached, ...unwalked.reverse(), name.toString('latin1')].join('/');
    return { place: undefined, path: cleanName(bytes(rest)).toString('latin1'), replaced };
  }

  /** Makes a directory that no member has listed yet. */
  makeDirectory(place: Place, modifiedNs: bigint): Directory {
    const { directories, syscalls } = this.#contents;
    place.directory.requireReachable(place.name);
    syscalls.mkdirat(directories.open(place.directory), place.name, IMPLIED_MODE);
    const directory = directories.add(place.directory, place.name, { kind: 'implied' }, IMPLIED_MODE);
    directory.impliedNs = modifiedNs;
    return directory;
  }

  /** Puts a directory where something else is. What this archive itself had there hid the lower layers: so does the directory. */
  replaceByDirectory(place: Place, status: FileStatus, modifiedNs: bigint): Directory {
    const own = this.#contents.isOwn(place.directory.pathOf(place.name));
    const isWhiteout = this.#contents.isWhiteout(status);
    this.#contents.remove(place.directory, place.name, status);
    const directory = this.makeDirectory(place, modifiedNs);
    if (own) this.#cut(directory);
    directory.replacedOwn = own && !isWhiteout;
    return directory;
  }

  #walk(path: Buffer, steps: Steps, rest: string[] = []): Directory | undefined {
    const { directories } = this.#contents;
    const known = directories.find(path.toString('latin1'));
    if (known !== undefined) return known;
    rest.push(...components(path.toString('latin1')).reverse());
    let current = directories.root;
    let followed = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '..') {
        current = current.parent ?? current;
        continue;
      }
      const step = directories.find(current.path === '' ? name : `${current.path}/${name}`);
      if (step !== undefined) {
        current = step;
        continue;
      }
      const status = this.#contents.status(current, bytes(name));
      const type = status === undefined ? 0 : status.mode & S_IFMT;
      if (type === S_IFLNK && this.#contents.mayFollow(current.pathOf(bytes(name)))) {
        if (++followed > MAX_SYMLINKS) {
          throw new StoreError('ERR_MALFORMED_ARCHIVE', `too many symbolic links on the way to ${nameText(path)}`);
        }
        const target = this.#contents.readSymlink(current, bytes(name));
        if (target.startsWith('/')) current = directories.root;
        rest.push(...components(target).reverse());
        continue;
      }
      const next = this.#step(current, name, status, steps);
      if (next === undefined) return undefined;
      current = next;
    }
    return current;
  }

  #step(current: Directory, name: string, status: FileStatus | undefined, steps: Steps): Directory | undefined {
    if (status === undefined) return steps.missing(current, name);
    if (isDirectory(status)) return this.#contents.takeUp(current, bytes(name), status);
    return steps.blocked(current, name, status);
  }
}

function components(path: string): string[] {
  return path.split('/').filter((component) => component !== '' && component !== '.');
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
