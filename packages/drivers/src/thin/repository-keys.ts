import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import { listOptional } from '../home/optional-file.js';

/**
 * The public keys of repositories, where the standard client keeps them.
 *
 * ```
 * /etc/cvmfs/keys/<repository>.pub     /etc/cvmfs/keys/<domain>.pub     /etc/cvmfs/keys/<domain>/<any name>.pub
 * ```
 */
export class RepositoryKeys {
  /** @param directory `/etc/cvmfs/keys` or another one that is arranged so */
  constructor(private readonly directory: string) {}

  /** @throws StoreError ERR_REPOSITORY_NOT_CONFIGURED */
  require(repository: string): void {
    const domain = repository.slice(repository.indexOf('.') + 1);
    const files = [repository, domain].map((name) => join(this.directory, `${name}.pub`));
    if (files.some((file) => existsSync(file))) return;
    if (listOptional(join(this.directory, domain)).some(({ name }) => name.endsWith('.pub'))) return;
    throw new StoreError('ERR_REPOSITORY_NOT_CONFIGURED', 'no key is configured for the repository', {
      subject: repository,
      hint: `thin images are shown from repositories with a key only: put it into ${files[0] ?? this.directory}`,
    });
  }
}
