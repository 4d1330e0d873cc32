import { silentLogger, type Logger } from '@layerstore/core';
import { checkRepositoryName } from '../format/repository-name.js';
import type { RepositoryConfiguration } from './configuration.js';
import { readOwnConfiguration } from './own-configuration.js';
import { readStandardConfiguration } from './standard-configuration.js';

export interface ReadConfigurationOptions {
  /** Directory of the standard client's configuration. Default `/etc/cvmfs`. */
  readonly directory?: string;
  /** File of ours, whose settings count before those of the directory. Default `/etc/layerstore/cvmfs.json`. */
  readonly file?: string;
  readonly logger?: Logger;
}

export const defaultCacheDirectory = '/var/cache/layerstore/cvmfs';

/**
 * What this machine says of a repository. It may say nothing: then `servers` and `masterKeys` are empty, and `Repository.open` refuses it.
 * @throws StoreError ERR_INVALID_ARGUMENT for a name that is none, or settings that cannot be understood
 * @throws StoreError ERR_NOT_FOUND for a key that is named and not there; ERR_IO, ERR_NEEDS_ROOT
 */
export function readConfiguration(name: string, options: ReadConfigurationOptions = {}): RepositoryConfiguration {
  const { directory = '/etc/cvmfs', file = '/etc/layerstore/cvmfs.json', logger = silentLogger } = options;
  checkRepositoryName(name);
  const standard = readStandardConfiguration(name, directory, logger);
  const own = readOwnConfiguration(name, file);
  return {
    servers: [],
    masterKeys: [],
    cacheDirectory: defaultCacheDirectory,
    ...standard,
    ...own,
    network: { ...standard.network, ...own.network },
    name,
  };
}
