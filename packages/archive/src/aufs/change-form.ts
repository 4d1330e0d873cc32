import { fromSystemError, reachedStep } from '@layerstore/core';
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  nativeSyscalls,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_IFCHR,
  type FileSyscalls,
} from '@layerstore/linux';
import { OPAQUE_MARKER } from '../apply/whiteout-name.js';
import { isAufsMarker, whiteoutOf } from '../tree/aufs-markers.js';
import { fileKind, isWhiteoutDevice } from '../tree/file-kind.js';
import type { DirectoryChange, FormChange, OverlayMarkFamily, ParkedEntry } from './form-change.js';

/**
 * Performs a planned change. Every step may have been done before: a change that was interrupted is performed again from its
 * record, with the same result. Not synced.
 * @param path absolute path of the layer's directory, which nobody uses
 * @param parking absolute path of the existing directory of parked entries, on the same file system
 * @throws StoreError ERR_NO_SPACE, ERR_IO; the change is then to be performed again
 */
export function changeForm(change: FormChange, path: string, parking: string): void {
  try {
    using work = new FormWork(nativeSyscalls(), change.marks, path, parking);
    for (const directory of change.directories) {
      if (change.to === 'overlay') work.toOverlay(directory);
      else work.toAufs(directory);
      reachedStep('driver.view.directory', path);
    }
  } catch (error) {
    throw fromSystemError(error, path);
  }
}

const YES = Buffer.from('y');
const opaqueMarker = Buffer.from(OPAQUE_MARKER);
/** The empty file that all whiteouts of an aufs branch are hard links of. */
const WHITEOUT_BASE = Buffer.from('.wh..wh.aufs');
/** The same for layers without it: a parked whiteout. */
const PARKED_WHITEOUT = Buffer.from('whiteout');
/** As aufs makes them. */
const MARKER_MODE = 0o444;

class FormWork implements Disposable {
  readonly #root: number;
  readonly #parking: number;
  /** A descriptor of the inode that new whiteouts are links of. */
  #whiteout: number | undefined;

  constructor(
    private readonly sys: FileSyscalls,
    private readonly marks: OverlayMarkFamily,
    path: string,
    parking: string,
  ) {
    this.#root = sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      this.#parking = sys.openat(AT_FDCWD, parking, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } catch (error) {
      sys.close(this.#root);
      throw error;
    }
  }

  /** What stands in the way of a whiteout is parked first. */
  toOverlay(change: DirectoryChange): void {
    this.#inDirectory(change, (directory) => {
      for (const { name, as } of change.parked) this.#move(directory, latin1(name), this.#parking, latin1(as));
      for (const name of change.whiteouts) {
        this.#makeDevice(directory, latin1(name));
        this.#keepOne(directory, whiteoutOf(latin1(name)));
      }
      for (const name of change.idle) this.#unlink(directory, latin1(name));
      if (!change.opaque) return;
      this.sys.fsetXattr(directory, this.#opaqueName, YES);
      this.#keepOne(directory, opaqueMarker);
    });
  }

  /** Bookkeeping goes back first, because whiteouts are made as links of it; what they hide comes last. */
  toAufs(change: DirectoryChange): void {
    this.#inDirectory(change, (directory) => {
      const isMarker = ({ name }: ParkedEntry): boolean => isAufsMarker(latin1(name));
      for (const entry of change.parked.filter(isMarker)) this.#takeBack(directory, entry);
      for (const name of change.whiteouts) {
        this.#makeMarker(directory, whiteoutOf(latin1(name)));
        this.#dropDevice(directory, latin1(name));
      }
      if (change.opaque) {
        this.#makeMarker(directory, opaqueMarker);
        this.#dropXattr(directory, this.#opaqueName);
      }
      for (const entry of change.parked) if (!isMarker(entry)) this.#takeBack(directory, entry);
    });
  }

  [Symbol.dispose](): void {
    if (this.#whiteout !== undefined) this.sys.close(this.#whiteout);
    this.sys.close(this.#parking);
    this.sys.close(this.#root);
  }

  #inDirectory(change: DirectoryChange, work: (directory: number) => void): void {
    const directory = this.sys.openat2(this.#root, change.path === '' ? '.' : latin1(change.path), {
      flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    });
    try {
      work(directory);
      this.sys.futimens(directory, BigInt(change.accessedNs), BigInt(change.modifiedNs));
    } finally {
      this.sys.close(directory);
    }
  }

  #takeBack(directory: number, { name, as, isDevice }: ParkedEntry): void {
    this.#move(this.#parking, latin1(as), directory, latin1(name), isDevice ? 0 : RENAME_NOREPLACE);
  }

  get #opaqueName(): string {
    return `${this.marks}.overlay.opaque`;
  }

  /** Moved before, or in the way of something newer: then it stays where it is. */
  #move(from: number, name: Buffer, to: number, as: Buffer, flags = RENAME_NOREPLACE): void {
    try {
      this.sys.renameat2(from, name, to, as, flags);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'EEXIST')) throw error;
    }
  }

  /** Takes a marker away, but keeps the first one, so that those that are made later have its inode and its time. */
  #keepOne(directory: number, name: Buffer): void {
    this.#move(directory, name, this.#parking, PARKED_WHITEOUT);
    this.#unlink(directory, name);
  }

  #unlink(directory: number, name: Buffer): void {
    try {
      this.sys.unlinkat(directory, name, 0);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
  }

  #makeDevice(directory: number, name: Buffer): void {
    try {
      this.sys.mknodat(directory, name, S_IFCHR, 0, 0);
    } catch (error) {
      if (!hasErrno(error, 'EEXIST') || !this.#isDevice(directory, name)) throw error;
    }
  }

  #dropDevice(directory: number, name: Buffer): void {
    if (this.#isDevice(directory, name)) this.#unlink(directory, name);
  }

  #isDevice(directory: number, name: Buffer): boolean {
    const status = this.sys.statxIfPresent(directory, name, AT_SYMLINK_NOFOLLOW);
    return status !== undefined && isWhiteoutDevice(status);
  }

  #dropXattr(directory: number, name: string): void {
    if (this.sys.fgetXattr(directory, name) === undefined) return;
    this.sys.removeXattr(`/proc/self/fd/${directory}/.`, name);
  }

  #makeMarker(directory: number, name: Buffer): void {
    try {
      if (this.#linkMarker(directory, name)) return;
      const fd = this.sys.openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MARKER_MODE);
      this.#keep(fd);
      // The process's umask takes bits away.
      this.sys.fchmod(fd, MARKER_MODE);
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
  }

  /** False where there is no inode for whiteouts yet, or where it has as many names as the file system allows. */
  #linkMarker(directory: number, name: Buffer): boolean {
    this.#whiteout ??= this.#openBase();
    if (this.#whiteout === undefined) return false;
    try {
      this.sys.linkat(AT_FDCWD, `/proc/self/fd/${this.#whiteout}`, directory, name, AT_SYMLINK_FOLLOW);
      return true;
    } catch (error) {
      if (hasErrno(error, 'EMLINK')) return false;
      throw error;
    }
  }

  #openBase(): number | undefined {
    const places = [
      [this.#root, WHITEOUT_BASE],
      [this.#parking, PARKED_WHITEOUT],
    ] as const;
    for (const [directory, name] of places) {
      const status = this.sys.statxIfPresent(directory, name, AT_SYMLINK_NOFOLLOW);
      if (status !== undefined && fileKind(status) === 'file')
        return this.sys.openat(directory, name, O_PATH | O_NOFOLLOW);
    }
    return undefined;
  }

  #keep(fd: number): void {
    if (this.#whiteout !== undefined) this.sys.close(this.#whiteout);
    this.#whiteout = fd;
  }
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
