import type { RevisionChoice } from '../repository/revision-record.js';

/** How a repository is reached, checked and cached. A plain record: what reads `/etc/cvmfs` or a file of ours makes one. */
export interface RepositoryConfiguration {
  /** Fully qualified name, `sw.example.org`. */
  readonly name: string;
  /** URLs of the repository's root on equal servers, in the order in which they are tried. `http:` or `https:`. */
  readonly servers: readonly string[];
  /** Groups in the order in which they are tried; of one group a random one is used. `DIRECT` stands for none. Default: direct. */
  readonly proxies?: readonly (readonly string[])[];
  /** Public master keys, PEM. One that fits is enough. */
  readonly masterKeys: readonly string[];
  /** Text of a blacklist, in the format of the standard client. */
  readonly blacklist?: string;
  /** Directory of the object cache; several repositories and processes may share it. */
  readonly cacheDirectory: string;
  /** Bytes above which the cache is cleaned up, to half of it; undefined for no limit. */
  readonly cacheLimit?: number | undefined;
  readonly network?: Partial<NetworkPatience>;
  /** Limits on what a repository may ask for. */
  readonly limits?: Partial<RepositoryLimits>;
  /** The revision to use where nobody asks for another; default: the newest. */
  readonly revision?: RevisionChoice;
  /** Values for variables in symbolic links; without it links are literal. */
  readonly linkVariables?: Readonly<Record<string, string>>;
  /** Whether a cached whitelist that has expired still counts while no server answers. Default: refuse. */
  readonly expiredOffline?: 'refuse' | 'accept';
}

/** When to try again and when to give up; times in milliseconds. */
export interface NetworkPatience {
  /** Without a byte through a proxy, or below {@link lowSpeedLimit}; default 5 000. */
  readonly timeout: number;
  /** The same without a proxy; default 10 000. */
  readonly directTimeout: number;
  /** Bytes per second below which a transfer counts as broken; default 1 024. */
  readonly lowSpeedLimit: number;
  /** Further rounds over all servers and proxies after all of them failed; default 1. */
  readonly retries: number;
  /** Before such a round, doubled for each further one, up to half of it by chance; default 2 000. */
  readonly firstPause: number;
  /** Default 10 000. */
  readonly longestPause: number;
  /** After this time a server or proxy that failed is the first choice again; default 300 000. */
  readonly resetAfter: number;
  /** Requests at the same time; default 32. */
  readonly concurrency: number;
}

export interface RepositoryLimits {
  /** Bytes of one catalog or history after decompression; default 1 GiB. */
  readonly catalogSize: number;
  /** Bytes of one object after decompression; default 64 GiB. */
  readonly objectSize: number;
  /** Entries of one directory; default 2 000 000. */
  readonly directoryEntries: number;
  /** Chunks of one file; default 1 000 000. */
  readonly chunks: number;
  /** Nested catalogs that one catalog names; default 200 000. */
  readonly nestedCatalogs: number;
  /** Entries of directory listings that are kept in memory; default 300 000. */
  readonly keptEntries: number;
  /** Nested catalogs that are open at the same time; default 512. */
  readonly openCatalogs: number;
}

export const defaultPatience: NetworkPatience = {
  timeout: 5_000,
  directTimeout: 10_000,
  lowSpeedLimit: 1_024,
  retries: 1,
  firstPause: 2_000,
  longestPause: 10_000,
  resetAfter: 300_000,
  concurrency: 32,
};

export const defaultLimits: RepositoryLimits = {
  catalogSize: 2 ** 30,
  objectSize: 64 * 2 ** 30,
  directoryEntries: 2_000_000,
  chunks: 1_000_000,
  nestedCatalogs: 200_000,
  keptEntries: 300_000,
  openCatalogs: 512,
};
