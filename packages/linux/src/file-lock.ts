/**
 * Locks between processes, as flock(2) on a file.
 *
 * The kernel frees such a lock when its holder ends, in whatever way: a killed process never leaves a stale lock. The
 * lock belongs to the open file, so two holders in one process exclude each other as well, and programs spawned
 * meanwhile do not inherit it (O_CLOEXEC).
 */
import { fromSystemError, StoreError, throwIfAborted } from '@layerstore/core';
import { setTimeout as delay } from 'node:timers/promises';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_CREAT, O_NOFOLLOW, O_RDWR } from './constants.js';
import { nativeSyscalls } from './native-syscalls.js';
import { AT_FDCWD, type FileSyscalls } from './syscalls.js';

export interface TryLockOptions {
  /** Several holders may share a lock; an exclusive one excludes all others. Default: exclusive. */
  readonly shared?: boolean;
  readonly syscalls?: FileSyscalls;
}

export interface LockOptions extends TryLockOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds between attempts. Default 25. */
  readonly pollMs?: number;
}

export class FileLock implements AsyncDisposable {
  #fd: number | undefined;

  private constructor(
    readonly path: string,
    private readonly sys: FileSyscalls,
    fd: number,
  ) {
    this.#fd = fd;
  }

  /**
   * Waits for the lock, asking every `pollMs`. The file is made, 0600, where it is missing; its directory must exist.
   * @throws StoreError ERR_ABORTED when `signal` fires first
   * @throws StoreError ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE when the file cannot be opened
   */
  static async acquire(path: string, options: LockOptions = {}): Promise<FileLock> {
    for (;;) {
      throwIfAborted(options.signal);
      const lock = FileLock.#attempt(path, options);
      if (lock !== undefined) return lock;
      try {
        await delay(options.pollMs ?? 25, undefined, options.signal === undefined ? {} : { signal: options.signal });
      } catch (cause) {
        throw new StoreError('ERR_ABORTED', 'cancelled while waiting for a lock', { subject: path, cause });
      }
    }
  }

  /** The lock, or `undefined` when another holds it. @throws StoreError as {@link FileLock.acquire} */
  static async tryAcquire(path: string, options: TryLockOptions = {}): Promise<FileLock | undefined> {
    return Promise.resolve(FileLock.#attempt(path, options));
  }

  static #attempt(path: string, { shared = false, syscalls }: TryLockOptions): FileLock | undefined {
    const sys = syscalls ?? nativeSyscalls();
    try {
      for (;;) {
        const fd = sys.openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
        let locked = false;
        try {
          if (!sys.flock(fd, shared ? 'shared' : 'exclusive')) return undefined;
          // Between opening and locking, a holder may have removed the file: that lock is on a name nobody finds again.
          locked = isNamedBy(sys, fd, path);
          if (locked) return new FileLock(path, sys, fd);
        } finally {
          if (!locked) sys.close(fd);
        }
      }
    } catch (error) {
      throw fromSystemError(error, path);
    }
  }

  /** Deletes the lock file while the lock is held, then frees it; only for exclusive locks. */
  remove(): void {
    if (this.#fd === undefined) throw new StoreError('ERR_CLOSED', 'the lock is not held', { subject: this.path });
    this.sys.unlinkat(AT_FDCWD, this.path, 0);
    this.release();
  }

  /** Frees the lock; a second time does nothing. */
  release(): void {
    if (this.#fd === undefined) return;
    this.sys.close(this.#fd);
    this.#fd = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}

function isNamedBy(sys: FileSyscalls, fd: number, path: string): boolean {
  const held = sys.statx(fd, '', AT_EMPTY_PATH);
  const named = sys.statxIfPresent(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  return (
    named !== undefined &&
    named.inode === held.inode &&
    named.deviceMajor === held.deviceMajor &&
    named.deviceMinor === held.deviceMinor
  );
}
