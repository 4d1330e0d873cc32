import type { RevisionChoice } from '../repository/revision-record.js';

/** One use of a revision. It lasts until it is released: the process that began it may end before. */
export interface LazyMountRequest {
  /** The fully qualified name, for example `images.example.org`. */
  readonly repository: string;
  /** Default: the newest that the servers have. */
  readonly revision?: RevisionChoice;
  /**
   * Who uses the revision: a name of the caller's own, 1 to 256 printable characters, such as the driver home and the id of a layer. The same
   * user of the same revision counts once, so it may ask again after a crash.
   */
  readonly user: string;
  readonly signal?: AbortSignal;
}

/** A revision that is pinned: it stays what it is, whatever the repository publishes, until its last user has gone. */
export interface LazyMount {
  readonly repository: string;
  /** The revision's root catalog: 40 hex digits, `-rmd160` or `-shake128` behind them. */
  readonly rootHash: string;
  /** The number of the revision, where its catalog says it. */
  readonly revision: number | undefined;
  /**
   * Absolute path of the revision's root directory, read-only. Its entries are those of the repository: `<path>/layers/<digest>` is what
   * `cvmfs://<repository>/layers/<digest>` names. Any directory in it can be a lower directory of a kernel overlay.
   */
  readonly path: string;
}

/** A use that is known to a server. */
export interface LazyMountUse extends LazyMount {
  readonly user: string;
}

/**
 * Repositories as directories whose files come when they are first read.
 *
 * Each repository (with its cache directory) is served by one process, started by the first use, found by a socket under the runtime
 * directory, and ended with the last use. Uses outlive the process that began them and are counted by their names: after a crash
 * {@link LazyMounts.uses} tells what is left, for the owner to keep or release.
 *
 * Releasing is safe at any time: what is mounted above a revision (an overlay, a bind mount) is served until the kernel has let go of it.
 */
export interface LazyMounts {
  /**
   * Begins a use: starts the server where none runs, fetches and verifies the revision's root catalog, pins it. Cost: some 0.3 s for the first
   * use of a repository, then the root catalog of a revision that is not pinned yet.
   * @throws StoreError ERR_INVALID_ARGUMENT for a malformed user, and what `Repository.revision` throws
   * @throws StoreError ERR_MOUNT_FAILED, ERR_NEEDS_ROOT, ERR_MISSING_PREREQUISITE, ERR_ABORTED
   */
  acquire(request: LazyMountRequest): Promise<LazyMount>;
  /**
   * Ends all uses of `user`, or only that of `rootHash`. One that does not exist is no error. The last one of a repository ends its server.
   */
  release(repository: string, user: string, rootHash?: string): Promise<void>;
  /**
   * Notes from now on which files of a repository are opened, whoever opens them, until {@link LazyMounts.recorded} asks. A server that is killed
   * forgets it.
   */
  record(repository: string): Promise<void>;
  /** Ends {@link LazyMounts.record}. @returns the files of a revision that were opened, by their paths below its root, in no order */
  recorded(repository: string, rootHash: string): Promise<readonly string[]>;
  /**
   * Has files of a pinned revision fetched that will be wanted soon, by their paths below its root; of those in chunks, the first. Returns before they
   * are there. Paths that lead to no file are passed over; what cannot be fetched is told in the server's log.
   */
  prefetch(repository: string, rootHash: string, paths: readonly string[]): Promise<void>;
  /** The uses of a repository; none when no server runs. Starts nothing. */
  uses(repository: string): Promise<LazyMountUse[]>;
}
