import { StoreError, type Logger } from '@layerstore/core';
import type {
  AccessRecorder,
  LayerSource,
  PinnedRepository,
  RepositoryRequest,
  ThinSettings,
} from '@layerstore/drivers';
import type * as cvmfs from '@layerstore/cvmfs';
import type { LazyMounts, RepositoryConfiguration, RevisionChoice } from '@layerstore/cvmfs';

/**
 * Repositories for thin images by our own client: one server for each, which ends with its last use. Keys, servers and proxies are those of
 * `/etc/cvmfs` and of a file of ours.
 */
export function nativeRepositories(logger?: Logger): (settings: ThinSettings) => LayerSource {
  return (settings) => new NativeRepositories(settings, logger);
}

/** The client is loaded when the first thin image is shown. */
type Client = typeof cvmfs;

class NativeRepositories implements LayerSource {
  readonly method = 'native';
  readonly recorder: AccessRecorder = {
    record: async (repository) => (await this.#mounts()).record(repository),
    recorded: async (repository, revision) => (await this.#mounts()).recorded(repository, revision),
    prefetch: async (repository, revision, files) => (await this.#mounts()).prefetch(repository, revision, files),
  };
  #client: Promise<Client> | undefined;

  constructor(
    private readonly settings: ThinSettings,
    private readonly logger: Logger | undefined,
  ) {}

  async requireKey(repository: string): Promise<void> {
    const { masterKeys } = await this.#configuration(repository);
    if (masterKeys.length > 0) return;
    throw new StoreError('ERR_REPOSITORY_NOT_CONFIGURED', 'no key is configured for the repository', {
      subject: repository,
      hint: `thin images are shown from repositories with a key only: put it into /etc/cvmfs/keys/${repository}.pub`,
    });
  }

  async acquire({ repository, revision, user }: RepositoryRequest): Promise<PinnedRepository> {
    const choice =
      revision === undefined ? (await this.#configuration(repository)).revision : await this.#choice(revision);
    const mounts = await this.#mounts();
    const mount = await mounts.acquire({ repository, user, ...(choice === undefined ? {} : { revision: choice }) });
    return { path: mount.path, revision: mount.rootHash };
  }

  async release(repository: string, user: string): Promise<void> {
    const mounts = await this.#mounts();
    await mounts.release(repository, user);
  }

  async #mounts(): Promise<LazyMounts> {
    const { LazyRepositories, readConfiguration } = await this.#loaded();
    return new LazyRepositories({
      configuration: (repository) => readConfiguration(repository, this.#options()),
    });
  }

  async #configuration(repository: string): Promise<RepositoryConfiguration> {
    const { readConfiguration } = await this.#loaded();
    return readConfiguration(repository, this.#options());
  }

  async #choice(revision: string): Promise<RevisionChoice> {
    const { parseHash } = await this.#loaded();
    const rootCatalog = parseHash(revision);
    if (rootCatalog !== undefined) return { kind: 'root-hash', rootCatalog };
    throw new StoreError('ERR_STORE_DAMAGED', 'the recorded revision of a repository is no hash', {
      subject: revision,
    });
  }

  #options(): { file?: string; logger?: Logger } {
    const { configuration } = this.settings;
    return {
      ...(configuration === undefined ? {} : { file: configuration }),
      ...(this.logger === undefined ? {} : { logger: this.logger }),
    };
  }

  #loaded(): Promise<Client> {
    this.#client ??= import('@layerstore/cvmfs');
    return this.#client;
  }
}
