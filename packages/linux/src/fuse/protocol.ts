/**
 * Numbers of the FUSE protocol, version 7 (linux/fuse.h of Linux 6.18). All of it is in the byte order of the machine, which is
 * little-endian on every platform that layerstore supports.
 */

export const FUSE_KERNEL_VERSION = 7;
/** What we speak. 31 (Linux 5.4) is the oldest whose messages have the sizes that are used here. */
export const FUSE_MINOR_VERSION = 40;
export const FUSE_OLDEST_MINOR_VERSION = 31;

export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  getxattr: 22,
  listxattr: 23,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  access: 34,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
} as const;

/** Requests that would change something: a read-only file system answers EROFS. */
export const changingOpcodes: ReadonlySet<number> = new Set([
  4, // SETATTR
  6, // SYMLINK
  8, // MKNOD
  9, // MKDIR
  10, // UNLINK
  11, // RMDIR
  12, // RENAME
  13, // LINK
  16, // WRITE
  21, // SETXATTR
  24, // REMOVEXATTR
  35, // CREATE
  43, // FALLOCATE
  45, // RENAME2
  47, // COPY_FILE_RANGE
  51, // TMPFILE
]);

/** Bits of the two flag words of INIT. */
export const initFlag = {
  asyncRead: 1 << 0,
  bigWrites: 1 << 5,
  doReaddirplus: 1 << 13,
  noOpenSupport: 1 << 17,
  parallelDirops: 1 << 18,
  posixAcl: 1 << 20,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
  initExtension: 1 << 30,
} as const;

export const initFlag2 = {
  passthrough: 1 << 5,
  allowIdmap: 1 << 8,
} as const;

/** Bits of an answer to OPEN. */
export const openFlag = {
  keepCache: 1 << 1,
  noFlush: 1 << 5,
  passthrough: 1 << 7,
} as const;

/** The node of the mount's root directory. */
export const FUSE_ROOT_NODE = 1;
/** What libfuse gives as inode number of an entry that nobody looked up. */
export const UNKNOWN_INODE = 0xffffffff;

export const REQUEST_HEADER_BYTES = 40;
export const REPLY_HEADER_BYTES = 16;
export const ATTRIBUTES_BYTES = 88;
export const ENTRY_BYTES = 128;
export const DIRECTORY_ENTRY_BYTES = 24;

/** One READ, and one page of a directory, at most. */
export const MAX_READ_BYTES = 1024 * 1024;
/** Pages of 4 KiB in one request: 1 MiB. */
export const MAX_PAGES = 256;
/** The kernel refuses to fill a buffer that could not hold the largest WRITE and its headers. */
export const REQUEST_BUFFER_BYTES = MAX_READ_BYTES + 4096;
