import { silentLogger, StoreError, type Logger, type OperationOptions } from '@layerstore/core';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import { parseBlacklist, type Blacklist } from '../format/blacklist.js';
import { checkRepositoryName } from '../format/repository-name.js';
import type { Tag } from '../format/history-schema.js';
import { CachePaths } from '../objects/cache-paths.js';
import { ObjectCache } from '../objects/object-cache.js';
import { HeadSource } from '../trust/head-source.js';
import type { Head } from '../trust/head.js';
import { checkFloor } from '../trust/verify-manifest.js';
import { parseMasterKey } from '../trust/verify-whitelist.js';
import { Sources } from '../transport/sources.js';
import { readTags } from './history.js';
import type { RevisionChoice, RevisionRecord } from './revision-record.js';
import { Revision, rootCatalogOf } from './revision.js';

export interface OpenRepositoryOptions {
  readonly configuration: RepositoryConfiguration;
  readonly logger?: Logger;
  /** Milliseconds since 1970, against which the whitelist expires. Default: the machine's clock. */
  readonly clock?: () => number;
}

type Call = Pick<OperationOptions, 'signal'>;

/**
 * A CernVM-FS repository: which revision it is at, and revisions to read.
 *
 * What servers and proxies send is believed only with its signature or its hash; so they need not be trusted, nor the network. Without a
 * network everything works that the cache directory has.
 */
export class Repository implements AsyncDisposable {
  readonly name: string;
  readonly objects: ObjectCache;
  readonly #heads: HeadSource;
  readonly #blacklist: Blacklist;
  #head: { readonly value: Head; readonly until: number } | undefined;

  private constructor(
    private readonly options: OpenRepositoryOptions,
    private readonly sources: Sources,
    objects: ObjectCache,
  ) {
    const { configuration, logger } = options;
    this.name = configuration.name;
    this.objects = objects;
    this.#blacklist = parseBlacklist(configuration.blacklist ?? '');
    this.#heads = new HeadSource({
      configuration,
      masterKeys: configuration.masterKeys.map((pem) => parseMasterKey(pem, configuration.name)),
      blacklist: this.#blacklist,
      sources,
      objects,
      directory: new CachePaths(configuration.cacheDirectory).repository(configuration.name),
      clock: options.clock ?? Date.now,
      ...(logger === undefined ? {} : { logger }),
    });
  }

  /**
   * Opens the cache directory, and asks nobody anything yet.
   * @throws StoreError ERR_REPOSITORY_NOT_CONFIGURED, ERR_INVALID_ARGUMENT; ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_READ_ONLY of the cache directory
   */
  static async open(options: OpenRepositoryOptions): Promise<Repository> {
    const { configuration, logger = silentLogger } = options;
    const { servers, masterKeys, cacheDirectory, cacheLimit, limits } = configuration;
    checkRepositoryName(configuration.name);
    if (servers.length === 0 || masterKeys.length === 0) {
      throw new StoreError(
        'ERR_REPOSITORY_NOT_CONFIGURED',
        `no ${servers.length === 0 ? 'server' : 'master key'} is known`,
        {
          subject: configuration.name,
          hint: `put it into /etc/cvmfs/config.d/${configuration.name}.conf, or give it with --server and --key`,
        },
      );
    }
    const sources = new Sources(configuration, logger);
    const objects = await ObjectCache.open({
      cacheDirectory,
      cacheLimit,
      sources,
      logger,
      ...(limits === undefined ? {} : { limits }),
    });
    try {
      return new Repository(options, sources, objects);
    } catch (error) {
      sources[Symbol.dispose]();
      await objects[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Asks the servers for the newest manifest, and checks it: whitelist, certificate, signature, blacklist, no roll-back. One request for each of
   * the two documents.
   * @throws StoreError ERR_REPOSITORY_UNREACHABLE, ERR_REPOSITORY_UNTRUSTED, ERR_REPOSITORY_ROLLED_BACK, ERR_MALFORMED_REPOSITORY,
   *   ERR_OBJECT_UNAVAILABLE, ERR_ABORTED
   */
  async refresh({ signal }: Call = {}): Promise<Head> {
    const value = await this.#heads.find(signal);
    this.#head = { value, until: Date.now() + value.manifest.timeToLive * 1000 };
    return value;
  }

  /** The manifest as it was last seen, asked for again when its time to live is over. @throws StoreError as {@link refresh} */
  async head(call: Call = {}): Promise<Head> {
    return this.#head !== undefined && Date.now() < this.#head.until ? this.#head.value : await this.refresh(call);
  }

  /** The named revisions, newest first; none for a repository without a history. @throws StoreError as {@link refresh} */
  async tags(call: Call = {}): Promise<Tag[]> {
    const { history } = (await this.head(call)).manifest;
    if (history === undefined) return [];
    const { path } = await this.objects.fetch(
      { kind: 'history', hash: history, compression: 'zlib', size: undefined },
      call,
    );
    return readTags(path, `${this.name}: history`);
  }

  /**
   * Finds out what a choice of a revision means at the moment.
   * @throws StoreError ERR_REVISION_NOT_FOUND for an unknown tag; as {@link refresh}. A root hash asks nobody
   */
  async resolve(choice: RevisionChoice, call: Call = {}): Promise<RevisionRecord> {
    const repository = this.name;
    switch (choice.kind) {
      case 'root-hash':
        return {
          repository,
          rootCatalog: choice.rootCatalog,
          rootCatalogSize: undefined,
          revision: undefined,
          tag: undefined,
        };
      case 'newest': {
        const { rootCatalog, rootCatalogSize, revision } = (await this.head(call)).manifest;
        return { repository, rootCatalog, rootCatalogSize, revision, tag: undefined };
      }
      case 'tag': {
        const tag = (await this.tags(call)).find(({ name }) => name === choice.tag);
        if (tag !== undefined) return { repository, ...tagged(tag) };
        throw new StoreError('ERR_REVISION_NOT_FOUND', `it has no tag ${choice.tag}`, {
          subject: repository,
          hint: `list the tags with \`layerstore cvmfs ls --tags ${repository}\``,
        });
      }
    }
  }

  /**
   * Opens a revision and fetches its root catalog if that is not cached. The revision stays readable, whatever the repository does.
   * @throws StoreError as {@link resolve}; ERR_REPOSITORY_ROLLED_BACK for a blacklisted revision; as `ObjectSource.fetch`
   */
  async revision(choice: RevisionChoice | RevisionRecord = { kind: 'newest' }, call: Call = {}): Promise<Revision> {
    const { limits, linkVariables } = this.options.configuration;
    const record = 'kind' in choice ? await this.resolve(choice, call) : choice;
    await this.objects.fetch(rootCatalogOf(record), call);
    const revision = new Revision({
      record,
      local: this.objects.local,
      fetch: (object, options) => this.objects.fetch(object, options),
      linkVariables,
      ...(limits === undefined ? {} : { limits }),
    });
    try {
      this.checkAllowed(revision);
      return revision;
    } catch (error) {
      revision[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Whether the blacklist still allows a revision that was opened before.
   * @throws StoreError ERR_REPOSITORY_ROLLED_BACK
   */
  checkAllowed({ record, publishedRevision }: Revision): void {
    const number = publishedRevision ?? record.revision;
    if (number !== undefined) checkFloor(number, this.name, this.#blacklist);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sources[Symbol.dispose]();
    await this.objects[Symbol.asyncDispose]();
  }
}

function tagged({ name, rootCatalog, rootCatalogSize, revision }: Tag): Omit<RevisionRecord, 'repository'> {
  return { rootCatalog, rootCatalogSize, revision, tag: name };
}
