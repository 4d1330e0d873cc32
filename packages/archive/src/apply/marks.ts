/**
 * How a layer says that lower content is gone, in each dialect.
 *
 * All three give the same view, whatever the order of the members: a whiteout hides what lower layers have under the name,
 * never what the same archive puts there.
 */
import { StoreError } from '@layerstore/core';
import { hasErrno, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFCHR } from '@layerstore/linux';
import { whiteoutOf } from '../tree/aufs-markers.js';
import { isDirectory } from '../tree/file-kind.js';
import type { Directory } from './directory.js';
import type { LayerContents } from './layer-contents.js';
import type { Place } from './path-walker.js';
import { OPAQUE_MARKER } from './whiteout-name.js';

export interface Marks {
  /** Hides the lower entry of that name. */
  hide(place: Place): void;
  /** Hides all that lower layers have in the directory; `replaced`: also that they have such a directory. */
  makeOpaque(directory: Directory, how: 'content' | 'replaced'): void;
  /** Called once, after the last member. */
  finish(): void;
}

export function marksFor(contents: LayerContents): Marks {
  switch (contents.dialect) {
    case 'overlay':
      return new OverlayMarks(contents);
    case 'aufs':
      return new AufsMarks(contents);
    case 'complete':
      return new CompleteMarks(contents);
  }
}

/** The name holds a directory of this archive that more than whiteouts stand in. */
function contentDirectory(contents: LayerContents, place: Place): Directory | undefined {
  const directory = contents.directories.find(place.directory.pathOf(place.name));
  return directory?.holdsContent === true ? directory : undefined;
}

const TRUSTED_OPAQUE = Buffer.from('trusted.overlay.opaque');
/** For mounts in user namespaces; containers/storage writes both as well. */
const USER_OPAQUE = Buffer.from('user.overlay.opaque');
const YES = Buffer.from('y');

/** As aufs makes them. */
const MARKER_MODE = 0o444;

class OverlayMarks implements Marks {
  readonly #contents: LayerContents;

  constructor(contents: LayerContents) {
    this.#contents = contents;
  }

  hide(place: Place): void {
    const { directories, syscalls } = this.#contents;
    const directory = contentDirectory(this.#contents, place);
    if (directory !== undefined) {
      this.makeOpaque(directory, 'replaced');
      return;
    }
    const status = this.#contents.status(place.directory, place.name);
    if (status !== undefined) {
      if (!isDirectory(status)) return;
      this.#contents.remove(place.directory, place.name, status);
    }
    syscalls.mknodat(directories.open(place.directory), place.name, S_IFCHR, 0, 0);
    place.directory.holdsWhiteouts = true;
  }

  makeOpaque(directory: Directory, how: 'content' | 'replaced'): void {
    if (directory.cut !== 'replaced') directory.cut = how;
    const fd = this.#contents.directories.open(directory);
    // In a user namespace nobody may set trusted attributes, nor are they looked at there.
    const trusted = this.#mark(fd, TRUSTED_OPAQUE, 'EPERM');
    // Kernels before 6.6 have no user attributes on tmpfs; such a layer is mounted by root only.
    const user = this.#mark(fd, USER_OPAQUE, 'ENOTSUP');
    if (trusted || user) return;
    throw new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', 'the file system takes no mark of an opaque directory', {
      hint: 'put the store on ext4, xfs or btrfs',
    });
  }

  /** False where it cannot be set, for the one reason that does not matter if the other mark is there. */
  #mark(fd: number, name: Buffer, excuse: 'EPERM' | 'ENOTSUP'): boolean {
    try {
      this.#contents.syscalls.fsetXattr(fd, name, YES);
      return true;
    } catch (error) {
      if (hasErrno(error, excuse)) return false;
      throw error;
    }
  }

  finish(): void {
    const { root } = this.#contents.directories;
    for (const directory of this.#contents.directories.values()) {
      // Whatever its marks say, the root of a layer is merged with the lower ones.
      if (directory !== root && directory.holdsWhiteouts && directory.isCutOff)
        removeWhiteouts(this.#contents, directory);
    }
  }
}

/**
 * Removes the whiteouts of a directory that is merged with no lower one. There they hide nothing, and the kernel lists the
 * names of such a directory as they are on disk: `ls` would show entries that cannot be opened.
 */
export function removeWhiteouts(contents: LayerContents, directory: Directory): void {
  directory.holdsWhiteouts = false;
  for (const name of contents.directories.list(directory)) {
    const status = contents.status(directory, name);
    if (status !== undefined && contents.isWhiteout(status)) contents.remove(directory, name, status);
  }
}

/**
 * Markers of archives are stored as they are, but never beside what they hide: aufs would hide that too. There a file
 * needs no whiteout, and a directory is marked opaque instead.
 */
class AufsMarks implements Marks {
  readonly #contents: LayerContents;
  readonly #hidden: Place[] = [];

  constructor(contents: LayerContents) {
    this.#contents = contents;
  }

  hide(place: Place): void {
    this.#hidden.push(place);
    place.directory.holdsWhiteouts = true;
    const directory = contentDirectory(this.#contents, place);
    if (directory !== undefined) directory.cut = 'replaced';
    else if (this.#contents.directories.find(place.directory.pathOf(place.name)) !== undefined) {
      this.#contents.remove(place.directory, place.name);
    }
  }

  makeOpaque(directory: Directory, how: 'content' | 'replaced'): void {
    if (directory.cut !== 'replaced') directory.cut = how;
    directory.holdsWhiteouts = true;
    const marker = Buffer.from(OPAQUE_MARKER);
    if (this.#contents.status(directory, marker) !== undefined) return;
    const fd = this.#contents.directories.open(directory);
    const { syscalls } = this.#contents;
    syscalls.close(syscalls.openat(fd, marker, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MARKER_MODE));
  }

  finish(): void {
    for (const place of this.#hidden) if (!place.directory.removed) this.#separate(place);
  }

  #separate(place: Place): void {
    const status = this.#contents.status(place.directory, place.name);
    if (status === undefined) return;
    if (isDirectory(status)) {
      const path = place.directory.pathOf(place.name);
      const directory =
        this.#contents.directories.find(path) ?? this.#contents.takeUp(place.directory, place.name, status);
      this.makeOpaque(directory, 'replaced');
    }
    this.#contents.remove(place.directory, whiteoutOf(place.name));
  }
}

/** Lower content is removed in the end, so that hard links and opaque markers do not depend on the order of members. */
class CompleteMarks implements Marks {
  readonly #contents: LayerContents;
  readonly #hidden: Place[] = [];
  readonly #opaque = new Set<Directory>();

  constructor(contents: LayerContents) {
    this.#contents = contents;
  }

  hide(place: Place): void {
    this.#hidden.push(place);
  }

  makeOpaque(directory: Directory, how: 'content' | 'replaced'): void {
    if (directory.cut !== 'replaced') directory.cut = how;
    this.#opaque.add(directory);
  }

  finish(): void {
    for (const { directory, name } of this.#hidden) if (!directory.removed) this.#removeLower(directory, name);
    for (const directory of this.#opaque) if (!directory.removed) this.#emptyOfLower(directory);
  }

  #emptyOfLower(directory: Directory): void {
    for (const name of this.#contents.directories.list(directory)) this.#removeLower(directory, name);
  }

  /** Keeps what this archive made; a directory that lies on its way stays as if it were new. */
  #removeLower(parent: Directory, name: Buffer): void {
    const kept = contentDirectory(this.#contents, { directory: parent, name });
    if (kept !== undefined) {
      if (kept.state.kind === 'found') kept.state = { kind: 'implied' };
      this.#emptyOfLower(kept);
      return;
    }
    const path = parent.pathOf(name);
    if (this.#contents.directories.find(path) === undefined && this.#contents.isOwn(path)) return;
    this.#contents.remove(parent, name);
  }
}
