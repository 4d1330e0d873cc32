import { fromSystemError } from '@layerstore/core';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  nativeSyscalls,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFCHR,
  type FileSyscalls,
} from '@layerstore/linux';
import type { ShadowDirectory } from './shadow-plan.js';

/**
 * Makes a shadow as the new directory `path` (absolute). Costs an inode per directory and one for all whiteouts. Nothing is
 * synced; what fails leaves a part behind: the caller works in staging.
 * @returns how many extended attributes of directories the file system could not hold
 * @throws StoreError ERR_NO_SPACE, ERR_IO
 */
export function buildShadow(directories: readonly ShadowDirectory[], path: string): number {
  try {
    using build = new ShadowBuild(nativeSyscalls(), path);
    for (const directory of directories) build.make(directory);
    // Children first: making them has moved their parents' times.
    for (const directory of [...directories].reverse()) build.finish(directory);
    return build.lostXattrs;
  } catch (error) {
    throw fromSystemError(error, path);
  }
}

/** Nobody else knows the directory, so its paths can be used whole; they start at its descriptor, to have their full length. */
class ShadowBuild implements Disposable {
  lostXattrs = 0;
  readonly #root: number;
  /** One inode for all whiteouts, until it has as many names as the file system allows. */
  #whiteout: Buffer | undefined;

  constructor(
    private readonly sys: FileSyscalls,
    path: string,
  ) {
    sys.mkdirat(AT_FDCWD, path, 0o700);
    this.#root = sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }

  make({ path, whiteouts }: ShadowDirectory): void {
    if (path !== '') this.sys.mkdirat(this.#root, bytes(path), 0o700);
    for (const name of whiteouts) this.#hide(bytes(path === '' ? name : `${path}/${name}`));
  }

  /** chown(2) takes setuid bits away, so the mode follows it; the time comes last. */
  finish({ path, status, xattrs }: ShadowDirectory): void {
    const target = path === '' ? bytes('.') : bytes(path);
    this.sys.fchownat(this.#root, target, status.uid, status.gid, AT_SYMLINK_NOFOLLOW);
    for (const { name, value } of xattrs) this.#setXattr(target, name, value);
    this.sys.fchmodat(this.#root, target, status.mode & 0o7777);
    this.sys.utimensat(this.#root, target, status.accessedNs, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
  }

  [Symbol.dispose](): void {
    this.sys.close(this.#root);
  }

  #hide(path: Buffer): void {
    if (this.#whiteout !== undefined) {
      try {
        this.sys.linkat(this.#root, this.#whiteout, this.#root, path, 0);
        return;
      } catch (error) {
        if (!hasErrno(error, 'EMLINK')) throw error;
      }
    }
    this.sys.mknodat(this.#root, path, S_IFCHR, 0, 0);
    this.#whiteout = path;
  }

  /** Shadows of read-only homes lie in a tmpfs, which has no user attributes before Linux 6.6. */
  #setXattr(target: Buffer, name: Buffer, value: Buffer): void {
    try {
      this.sys.setXattr(Buffer.concat([bytes(`/proc/self/fd/${this.#root}/`), target]), name, value);
    } catch (error) {
      if (!hasErrno(error, 'ENOTSUP')) throw error;
      this.lostXattrs += 1;
    }
  }
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
