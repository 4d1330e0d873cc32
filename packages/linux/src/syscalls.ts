/**
 * Every kernel call that layerstore makes beyond `node:fs`, behind one interface.
 *
 * All calls are synchronous: long work belongs in worker threads, and one blocking thread is four times faster than
 * promises (measured). Each call throws a {@link SystemError} with the errno name in `code`. Names and paths are bytes:
 * a `string` is passed as UTF-8, a `Uint8Array` as it is (without the final NUL); one that contains NUL is refused
 * with EINVAL before it reaches the kernel, which would see a shorter name.
 *
 * `nativeSyscalls()` is the real one, `RecordingSyscalls` keeps what was called and can be told to fail.
 */
export type PathBytes = string | Uint8Array;

/** `AT_FDCWD`: paths are relative to the working directory. */
export const AT_FDCWD = -100;

/** What statx(2) tells of a file; times in nanoseconds since 1970. */
export interface FileStatus {
  /** `st_mode` with the file type bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; for a symlink the length of its target. */
  readonly size: number;
  /** Allocated bytes (blocks of 512). */
  readonly allocated: number;
  readonly inode: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Device that a character or block special file names. */
  readonly specialMajor: number;
  readonly specialMinor: number;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
  readonly accessedNs: bigint;
}

export interface FileSystemStatus {
  /** `f_type` of statfs(2), for example 0xef53 for ext4. */
  readonly type: number;
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly available: bigint;
  readonly freeInodes: bigint;
}

/** How openat2(2) resolves a path. */
export interface OpenHow {
  readonly flags: number;
  readonly mode?: number;
  /** `RESOLVE_*` bits. */
  readonly resolve: number;
}

/** fsconfig(2) commands that mounts need. */
export type FsConfig =
  | { readonly command: 'flag'; readonly key: string }
  | { readonly command: 'string'; readonly key: string; readonly value: PathBytes }
  | { readonly command: 'fd'; readonly key: string; readonly fd: number }
  | { readonly command: 'create' }
  | { readonly command: 'reconfigure' };

export interface FileSyscalls {
  openat(directory: number, path: PathBytes, flags: number, mode?: number): number;
  openat2(directory: number, path: PathBytes, how: OpenHow): number;
  close(fd: number): void;
  /** Reads at the file position, or at `position`; returns the number of bytes, 0 at the end. */
  read(fd: number, into: Uint8Array, position?: number): number;
  /** Writes everything, repeating short writes. */
  write(fd: number, data: Uint8Array, position?: number): void;
  ftruncate(fd: number, size: number): void;
  mkdirat(directory: number, path: PathBytes, mode: number): void;
  /** `mode` holds the type bits; fifos, whiteouts (character 0:0), devices. */
  mknodat(directory: number, path: PathBytes, mode: number, major: number, minor: number): void;
  symlinkat(target: PathBytes, directory: number, path: PathBytes): void;
  readlinkat(directory: number, path: PathBytes): Buffer;
  linkat(fromDirectory: number, from: PathBytes, toDirectory: number, to: PathBytes, flags: number): void;
  renameat2(fromDirectory: number, from: PathBytes, toDirectory: number, to: PathBytes, flags: number): void;
  /** `flags`: 0 or AT_REMOVEDIR. */
  unlinkat(directory: number, path: PathBytes, flags: number): void;
  /** `flags`: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
  statx(directory: number, path: PathBytes, flags: number): FileStatus;
  /** The same, `undefined` for ENOENT and ENOTDIR; where absence is usual, for an error costs five times the call. */
  statxIfPresent(directory: number, path: PathBytes, flags: number): FileStatus | undefined;
  fchownat(directory: number, path: PathBytes, uid: number, gid: number, flags: number): void;
  /** Follows symlinks: chmod has no other form on this kernel; callers check the type first. */
  fchmodat(directory: number, path: PathBytes, mode: number): void;
  fchmod(fd: number, mode: number): void;
  /** Sets times exactly; `undefined` leaves that time alone (UTIME_OMIT). */
  utimensat(
    directory: number,
    path: PathBytes,
    accessedNs: bigint | undefined,
    modifiedNs: bigint | undefined,
    flags: number,
  ): void;
  futimens(fd: number, accessedNs: bigint | undefined, modifiedNs: bigint | undefined): void;

  /** Extended attributes of the file itself, never of a symlink's target. ENODATA becomes `undefined`. */
  getXattr(path: PathBytes, name: PathBytes): Buffer | undefined;
  setXattr(path: PathBytes, name: PathBytes, value: Uint8Array): void;
  removeXattr(path: PathBytes, name: PathBytes): void;
  /** Names as bytes; a file system without xattrs gives an empty list. */
  listXattrs(path: PathBytes): Buffer[];
  /** The same on an open file (which must not be O_PATH). */
  fgetXattr(fd: number, name: PathBytes): Buffer | undefined;
  fsetXattr(fd: number, name: PathBytes, value: Uint8Array): void;
  flistXattrs(fd: number): Buffer[];

  fsync(fd: number): void;
  /** Writes the whole file system that holds `fd` to disk. */
  syncfs(fd: number): void;
  /** flock(2): `'exclusive'` and `'shared'` never wait; returns false when another holds it. */
  flock(fd: number, operation: 'exclusive' | 'shared' | 'unlock'): boolean;
  /** FICLONE; false where the file system cannot share extents (EOPNOTSUPP, EXDEV, EINVAL, ENOTTY). */
  reflink(from: number, to: number): boolean;
  /** copy_file_range(2) from and to the current positions; returns bytes copied, 0 at the end. */
  copyFileRange(from: number, to: number, length: number): number;
  /** lseek(2) with SEEK_DATA or SEEK_HOLE; `undefined` for ENXIO. */
  seekSparse(fd: number, offset: number, whence: 'data' | 'hole'): number | undefined;
  statfs(path: PathBytes): FileSystemStatus;
  /** pipe2(2), close-on-exec, with room for about `capacity` bytes where the system's limit allows it. */
  pipe(capacity: number): PipeEnds;
  /** SO_PEERCRED: the process at the other end of a connected Unix socket, as it was when it connected. */
  peerProcess(fd: number): PeerProcess;
}

export interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** `pid` is 0 for a process that this PID namespace does not show. */
export interface PeerProcess {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface MountSyscalls {
  mount(source: PathBytes, target: PathBytes, type: string, flags: number, data: PathBytes): void;
  umount(target: PathBytes, flags: number): void;
  /** The same in a thread of libuv's pool: unmounting an overlay with an upper waits for a whole file system to be synced. */
  umountInBackground(target: string, flags: number): Promise<void>;
  fsopen(type: string): number;
  fsconfig(fd: number, config: FsConfig): void;
  fsmount(fd: number, attributes: number): number;
  /** Moves the detached mount `fd` onto `target`. */
  moveMount(fd: number, target: PathBytes): void;
  openTree(path: PathBytes, flags: number): number;
  mountSetattr(
    fd: number,
    path: PathBytes,
    flags: number,
    attributes: { set: number; clear: number; propagation: number; userNamespace?: number },
  ): void;
  /** Text that the kernel left in an fsopen context, one message per line; empty when there is none. */
  mountLog(fd: number): string;
  /** Namespaces and roots are per thread: callers run these in a worker of their own. */
  unshare(flags: number): void;
  setns(fd: number, type: number): void;
  chroot(path: PathBytes): void;
  /**
   * Swaps the root mount of the namespace; `putOld` may be the same directory, the old root then lies over the new one.
   */
  pivotRoot(newRoot: PathBytes, putOld: PathBytes): void;
  chdir(path: PathBytes): void;
  sethostname(name: string): void;
}

/** ioctl(2) on /dev/fuse (linux/fuse.h). */
export interface FuseSyscalls {
  /** Makes `into`, a fresh descriptor of /dev/fuse, another queue of the connection that `device` serves. */
  cloneFuseDevice(device: number, into: number): void;
  /**
   * Lets the kernel read the open file `fd` itself where an answer to OPEN names the returned id.
   * @throws SystemError ENOTTY before Linux 6.9, EPERM without CAP_SYS_ADMIN
   */
  openFuseBacking(device: number, fd: number): number;
  /** Forgets the id; files that were opened with it stay open. */
  closeFuseBacking(device: number, id: number): void;
}

export interface Syscalls extends FileSyscalls, MountSyscalls, FuseSyscalls {}

/** An errno of the kernel, shaped like the errors of `node:fs`. */
export class SystemError extends Error {
  constructor(
    readonly code: string,
    readonly errno: number,
    readonly syscall: string,
    readonly path?: string,
  ) {
    super(`${code}: ${syscall}${path === undefined ? '' : ` '${path}'`}`);
    this.name = 'SystemError';
  }
}
