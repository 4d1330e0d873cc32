/** A user name with its password, or a token that stands for both. */
export type Credentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** An OAuth 2 refresh token, `identitytoken` in docker's config. */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** Presented to the registry as it is, `registrytoken` in docker's config. */
  | { readonly kind: 'bearer-token'; readonly token: string };

/** Where credentials come from. */
export interface CredentialSource {
  /**
   * The credentials for a repository; undefined for none.
   * @param domain host and port as in the reference; `docker.io` for Docker Hub
   * @param path the repository: `library/debian`
   * @throws StoreError ERR_REGISTRY_DENIED when they are there and cannot be read
   */
  find(domain: string, path: string): Promise<Credentials | undefined>;
}

/** HTTP proxies, in the words of the usual environment variables. */
export interface Proxies {
  /** URL of the proxy for `http:` requests. */
  readonly http?: string;
  /** URL of the proxy for `https:` requests. */
  readonly https?: string;
  /** Hosts that are reached without: names with all below them, addresses, networks (`10.0.0.0/8`), with or without a port, or `*`. */
  readonly noProxy?: string;
}

/** How names without a registry are read; see `shortNameCandidates`. */
export interface ShortNames {
  /** Complete names of short ones, as in `[aliases]` of containers-registries.conf(5). */
  readonly aliases: Readonly<Record<string, string>>;
  /** Tried in this order for names without an alias; Docker's only one is `docker.io`. */
  readonly searchRegistries: readonly string[];
}

/** How registries are reached. Everything may be left out: then access is anonymous, verified by Node's authorities, without a proxy. */
export interface RegistryOptions {
  readonly credentials?: CredentialSource;
  /** Registries that may be reached without TLS or with an unverified certificate: `host`, `host:port`, or a network. Loopback always may. */
  readonly insecureRegistries?: readonly string[];
  /** Registries that are not to be used, with all below them: `host`, `host/path`, `*.domain`. */
  readonly blockedRegistries?: readonly string[];
  /** Directories with a folder `HOST[:PORT]` each: `*.crt` authorities, `*.cert` and `*.key` for the client; the first that has one counts. */
  readonly certificateDirectories?: readonly string[];
  /** A file of PEM certificates to trust in place of Node's own authorities. */
  readonly authorities?: string;
  readonly proxies?: Proxies;
  readonly shortNames?: ShortNames;
  readonly userAgent?: string;
  readonly patience?: Partial<Patience>;
}

/** When to try again and when to give up. */
export interface Patience {
  /** Attempts at one request, and at one blob without a megabyte of progress; default 5. */
  readonly attempts: number;
  /** Milliseconds before the second attempt, doubled for each further one; default 500. A `Retry-After` counts instead. */
  readonly firstPause: number;
  /** The longest pause that a registry may ask for, in milliseconds; default 5 minutes. */
  readonly longestPause: number;
  /** Milliseconds without a byte (or without 1 KiB of a blob), after which a connection counts as broken; default 60 000. */
  readonly stall: number;
}

export const defaultPatience: Patience = { attempts: 5, firstPause: 500, longestPause: 300_000, stall: 60_000 };
