import { fromSystemError } from '@layerstore/core';
import {
  AT_SYMLINK_NOFOLLOW,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFMT,
} from './constants.js';
import { namesIn } from './names-in.js';
import { hasErrno } from './native/errno.js';
import { nativeSyscalls } from './native-syscalls.js';
import { AT_FDCWD, type FileStatus, type FileSyscalls } from './syscalls.js';

/** What a tree takes on its file system. */
export interface TreeUsage {
  /** Allocated bytes; a file with several names counts once. */
  readonly size: number;
  readonly inodes: number;
}

/** So many directories of one path are open at most: a hostile tree may be deeper than a process may have descriptors. */
const openLimit = 256;

/**
 * Adds up a directory with everything in it. The tree may be hostile and may change meanwhile: symlinks and mounts are not followed,
 * depth is not limited, and what goes away while it is counted is left out. Cost: one statx(2) per file, in the calling thread.
 * @throws StoreError ERR_IO, ERR_NEEDS_ROOT
 */
export function treeUsage(path: string, syscalls: FileSyscalls = nativeSyscalls()): TreeUsage {
  try {
    const top = syscalls.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    using walk = new UsageWalk(syscalls, top);
    return walk.run();
  } catch (error) {
    throw fromSystemError(error, path);
  }
}

interface Frame {
  readonly name: Buffer;
  /** -1 while it is closed to save descriptors. */
  fd: number;
  /** Names of subdirectories that are still to be entered. */
  readonly left: Buffer[];
}

class UsageWalk implements Disposable {
  #size = 0;
  #inodes = 0;
  readonly #linked = new Set<string>();
  readonly #frames: Frame[] = [];

  constructor(
    private readonly sys: FileSyscalls,
    private readonly top: number,
  ) {}

  run(): TreeUsage {
    this.#count(this.sys.statx(this.top, '.', 0));
    this.#enter(Buffer.from('.'), this.top);
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const name = frame.left.pop();
      if (name === undefined) this.#leave();
      else this.#descend(frame, name);
    }
    return { size: this.#size, inodes: this.#inodes };
  }

  [Symbol.dispose](): void {
    while (this.#frames.length > 0) this.#leave();
    this.sys.close(this.top);
  }

  #descend(frame: Frame, name: Buffer): void {
    if (frame.fd < 0) frame.fd = this.#reopen();
    const fd = frame.fd < 0 ? undefined : openBelow(this.sys, frame.fd, name, O_RDONLY);
    if (fd === undefined) return;
    const crowded = this.#frames.at(-openLimit);
    if (crowded !== undefined) this.#close(crowded);
    this.#enter(name, fd);
  }

  #enter(name: Buffer, fd: number): void {
    const left: Buffer[] = [];
    this.#frames.push({ name, fd, left });
    for (const entry of namesIn(fd)) {
      const status = this.sys.statxIfPresent(fd, entry, AT_SYMLINK_NOFOLLOW);
      if (status === undefined) continue;
      this.#count(status);
      if ((status.mode & S_IFMT) === S_IFDIR) left.push(entry);
    }
  }

  #leave(): void {
    const frame = this.#frames.pop();
    if (frame !== undefined) this.#close(frame);
  }

  #close(frame: Frame): void {
    if (frame.fd >= 0 && frame.fd !== this.top) this.sys.close(frame.fd);
    frame.fd = -1;
  }

  /** Walks down to the last frame again; -1 when something on the way has gone. */
  #reopen(): number {
    let fd = this.top;
    for (const { name } of this.#frames.slice(1)) {
      const next = openBelow(this.sys, fd, name, O_PATH);
      if (fd !== this.top) this.sys.close(fd);
      if (next === undefined) return -1;
      fd = next;
    }
    return fd;
  }

  #count(status: FileStatus): void {
    const isDirectory = (status.mode & S_IFMT) === S_IFDIR;
    if (status.links > 1 && !isDirectory) {
      const inode = `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
      if (this.#linked.has(inode)) return;
      this.#linked.add(inode);
    }
    this.#size += status.allocated;
    this.#inodes += 1;
  }
}

/** `undefined` for what has gone, has become something else, or is a mount. */
function openBelow(sys: FileSyscalls, parent: number, name: Buffer, flags: number): number | undefined {
  try {
    return sys.openat2(parent, name, {
      flags: flags | O_DIRECTORY | O_NOFOLLOW,
      resolve: RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
    });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV')) return undefined;
    throw error;
  }
}
