import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { RepositoryConfiguration } from '../configuration/configuration.js';

export const defaultRuntimeDirectory = '/run/layerstore';

/** Names in the mount table what is mounted. */
export const mountSource = (repository: string): string => `cvmfs:${repository}`;
export const mountSubtype = 'layerstore-cvmfs';

/**
 * The files of a keeper, under the runtime directory:
 *
 *     cvmfs/KEY/lock      held while a keeper is started or ends
 *     cvmfs/KEY/socket    0600: where the keeper is asked
 *     cvmfs/KEY/log       lines of JSON
 *     cvmfs/KEY/mnt       the mount: a directory for each pinned revision, by its root hash
 *
 * KEY stands for the repository and its cache directory, in 16 hex digits: the path of a socket has at most 107 bytes.
 */
export class KeeperPaths {
  constructor(readonly directory: string) {}

  static of(runtimeDirectory: string, { name, cacheDirectory }: RepositoryConfiguration): KeeperPaths {
    const key = createHash('sha256').update(`${name}\0${cacheDirectory}`).digest('hex').slice(0, 16);
    return new KeeperPaths(join(runtimeDirectory, 'cvmfs', key));
  }

  get lock(): string {
    return join(this.directory, 'lock');
  }

  get socket(): string {
    return join(this.directory, 'socket');
  }

  get log(): string {
    return join(this.directory, 'log');
  }

  get mount(): string {
    return join(this.directory, 'mnt');
  }

  revision(rootHash: string): string {
    return join(this.mount, rootHash);
  }
}
