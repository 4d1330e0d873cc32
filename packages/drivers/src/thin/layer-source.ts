/**
 * Where the layers of thin images come from: repositories as directories, however they get there.
 */

/** One use of a repository. It lasts until it is released: the process that began it may end before. */
export interface RepositoryRequest {
  /** Fully qualified name, checked already: `images.example.org`. */
  readonly repository: string;
  /** The revision that an earlier use had, from {@link PinnedRepository.revision}; default the newest. */
  readonly revision?: string;
  /** Who uses it: the home and a layer, 1 to 256 printable characters. The same user of the same revision counts once. */
  readonly user: string;
}

/** A repository that stays what it is until the use is released, as far as its source can promise that. */
export interface PinnedRepository {
  /** Absolute path of the directory that shows the repository's root. */
  readonly path: string;
  /** Names the revision that is shown; absent where the source cannot tell. */
  readonly revision?: string;
}

/** Files by their paths below the root of their repository. */
export type AccessedFiles = readonly string[];

export interface LayerSource {
  readonly method: MountMethodName;
  /**
   * Refuses a repository for which no key is configured: whoever makes an image could otherwise have any repository mounted.
   * @throws StoreError ERR_REPOSITORY_NOT_CONFIGURED with the place where a key is looked for
   */
  requireKey(repository: string): Promise<void>;
  /**
   * Begins a use, or takes up one that there is.
   * @throws StoreError ERR_NOT_FOUND, ERR_MOUNT_FAILED, ERR_MISSING_PREREQUISITE, and what opening the repository throws
   */
  acquire(request: RepositoryRequest): Promise<PinnedRepository>;
  /**
   * Ends all uses of `user`. One that does not exist is no error. What is mounted over the repository goes on working until
   * the kernel has let go of it.
   */
  release(repository: string, user: string): Promise<void>;
  /** Absent where nobody tells what is read. */
  readonly recorder?: AccessRecorder;
}

/** As the option `cvmfsMountMethod` names them. */
export type MountMethodName = 'native' | 'external' | 'internal';

/** What is read of repositories, and what will be. */
export interface AccessRecorder {
  /** Notes from now on which files of a repository are opened. */
  record(repository: string): Promise<void>;
  /** Ends {@link record}. @returns the files of a revision that were opened */
  recorded(repository: string, revision: string): Promise<AccessedFiles>;
  /** Has files of a pinned revision fetched that will be wanted soon. Returns before they are there; a hint. */
  prefetch(repository: string, revision: string, files: AccessedFiles): Promise<void>;
}
