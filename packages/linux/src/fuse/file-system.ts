/**
 * A number that names a file or directory of the file system for as long as it is mounted; a whole number up to 2^53,
 * {@link FUSE_ROOT_NODE} for the root. A server that is started again for the same mount must find the same file behind
 * it.
 */
export type NodeNumber = number;

export interface FuseAttributes {
  readonly inode: number;
  /** With the file type bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; the length of its target for a symlink. */
  readonly size: number;
  /** Device that a special file names. */
  readonly major: number;
  readonly minor: number;
  /** Seconds since 1970, and nanoseconds of that second. */
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
}

export interface FuseEntry {
  readonly node: NodeNumber;
  readonly attributes: FuseAttributes;
  /** For how many seconds the kernel may keep it without asking again. */
  readonly cacheSeconds: number;
}

/** A name that does not exist, which the kernel may keep for so long; 0: it asks each time. */
export interface FuseAbsence {
  readonly absentSeconds: number;
}

export interface FuseOpen {
  /** Comes back with every READ and RELEASE of the opened file. */
  readonly handle: number;
  /** From {@link FuseSyscalls.openFuseBacking}: the kernel reads the file itself. */
  readonly backingId?: number;
}

export interface FuseStatistics {
  /** Blocks of 4096 bytes. */
  readonly blocks: number;
  readonly files: number;
}

/**
 * An answer that needs something first: `need` is handed to whoever completes the request, in another thread, and must
 * be fit for `postMessage`.
 */
export class Later<Need = unknown> {
  constructor(readonly need: Need) {}
}

/** An errno as answer, for what went wrong: positive, as C has it. Cheaper than throwing. */
export class Failed {
  constructor(readonly errno: number) {}
}

export type Answer<T> = T | Later | Failed;

/** Takes one name of a directory; false when the page is full and this name must come first in the next. */
export type DirectorySink = (name: Uint8Array, entry: FuseEntry, next: number) => boolean;

/**
 * A read-only file system. Every method answers at once: from memory, or with the few system calls that the file's data
 * need. What would have to wait says {@link Later}. It is called by one thread, and each thread has an instance of its
 * own; exceptions become EIO.
 */
export interface FuseFileSystem {
  lookup(parent: NodeNumber, name: Buffer): Answer<FuseEntry | FuseAbsence>;
  attributes(node: NodeNumber): Answer<Omit<FuseEntry, 'node'>>;
  readLink(node: NodeNumber): Answer<Uint8Array>;
  /** Entries from `position` on, 0 for the first, in an order that never changes; `.` and `..` are not among them. */
  list(node: NodeNumber, position: number, sink: DirectorySink): Answer<void>;
  open(node: NodeNumber): Answer<FuseOpen>;
  /** Fills `into` from `offset` of the file on; fewer bytes only at its end. */
  read(node: NodeNumber, handle: number, offset: number, into: Uint8Array): Answer<number>;
  release(node: NodeNumber, handle: number): void;
  /** `undefined` when the file has no such attribute. */
  xattr(node: NodeNumber, name: Buffer): Answer<Uint8Array | undefined>;
  xattrNames(node: NodeNumber): Answer<readonly Uint8Array[]>;
  statistics(node: NodeNumber): Answer<FuseStatistics>;
}
