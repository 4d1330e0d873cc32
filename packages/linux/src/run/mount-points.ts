import { setTimeout as delay } from 'node:timers/promises';
import { AT_EMPTY_PATH, AT_REMOVEDIR, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../constants.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

const names = ['proc', 'sys', 'dev'];

/** Marks a directory that a run has made, so that another run, or the one after a crash, takes it away. */
const MARK = 'trusted.layerstore.run';

/**
 * The directories that a run needs in its root. Those that are missing are made, and taken away again when the last run
 * in this root ends: the root is a container's writable layer, whose changes shall be the program's.
 *
 * Each run holds a shared lock on the root. Without it the first of two runs to end would pull the mounts of the other
 * away: deleting a directory detaches what other namespaces have mounted there (Linux 3.18).
 */
export class MountPoints implements Disposable {
  private constructor(
    private readonly sys: Syscalls,
    private readonly root: number,
    /** The root's time before this run made something in it, and after. */
    private readonly modified: { readonly beforeNs: bigint; readonly afterNs: bigint },
  ) {}

  static async make(sys: Syscalls, path: string): Promise<MountPoints> {
    const root = sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    try {
      while (!sys.flock(root, 'shared')) await delay(5);
      const beforeNs = modifiedNs(sys, root);
      for (const name of names) makeDirectory(sys, root, name);
      return new MountPoints(sys, root, { beforeNs, afterNs: modifiedNs(sys, root) });
    } catch (error) {
      sys.close(root);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    try {
      // Another run is there, and will do this.
      if (!this.sys.flock(this.root, 'exclusive')) return;
      const onlyOurs = modifiedNs(this.sys, this.root) === this.modified.afterNs;
      for (const name of names) removeMarked(this.sys, this.root, name);
      const { beforeNs, afterNs } = this.modified;
      if (beforeNs !== afterNs && onlyOurs) this.sys.futimens(this.root, undefined, beforeNs);
    } finally {
      this.sys.close(this.root);
    }
  }
}

function modifiedNs(sys: Syscalls, directory: number): bigint {
  return sys.statx(directory, '', AT_EMPTY_PATH).modifiedNs;
}

function makeDirectory(sys: Syscalls, root: number, name: string): void {
  try {
    sys.mkdirat(root, name, 0o755);
  } catch (error) {
    // A root that cannot be written to does without.
    if (hasErrno(error, 'EEXIST', 'EROFS')) return;
    throw error;
  }
  const made = sys.openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    sys.fsetXattr(made, MARK, Buffer.from('1'));
  } finally {
    sys.close(made);
  }
}

function removeMarked(sys: Syscalls, root: number, name: string): void {
  try {
    const directory = sys.openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const marked = isMarked(sys, directory);
    sys.close(directory);
    if (marked) sys.unlinkat(root, name, AT_REMOVEDIR);
  } catch (error) {
    // The program may have put something in it, or in its place.
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENOTEMPTY', 'EBUSY', 'EROFS')) throw error;
  }
}

function isMarked(sys: Syscalls, directory: number): boolean {
  try {
    return sys.fgetXattr(directory, MARK) !== undefined;
  } catch (error) {
    if (hasErrno(error, 'ENOTSUP')) return false;
    throw error;
  }
}
