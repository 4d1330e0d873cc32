/**
 * One member of a tar archive, decoded: the last word of ustar header, PAX records and GNU extensions together.
 *
 * Names, link targets and attribute values are bytes: archives hold names that are not UTF-8, and file capabilities are
 * binary.
 */
export interface TarEntry {
  readonly type: EntryType;
  /** As written: may be absolute, end in `/`, or contain `..`; callers clean it. Never empty, never with NUL. */
  readonly name: Buffer;
  /** Target of a symlink or hard link; empty otherwise. */
  readonly linkName: Buffer;
  /** Permission bits with setuid, setgid and sticky (07777); type bits that Docker writes are dropped. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: Buffer;
  readonly groupName: Buffer;
  /** Bytes of the file as seen by a reader, holes included; 0 for what has no content. */
  readonly size: number;
  /** Nanoseconds since 1970; may be negative. */
  readonly modifiedNs: bigint;
  readonly accessedNs?: bigint;
  readonly changedNs?: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** `SCHILY.xattr.*` (and `LIBARCHIVE.xattr.*`) records in archive order. */
  readonly xattrs: readonly Xattr[];
  /** Data segments of a sparse file, ascending; absent for ordinary files. */
  readonly sparse?: readonly SparseSegment[];
}

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

export interface Xattr {
  readonly name: Buffer;
  readonly value: Buffer;
}

export interface SparseSegment {
  readonly offset: number;
  readonly length: number;
}
