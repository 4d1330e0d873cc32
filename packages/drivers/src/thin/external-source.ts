import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno, nativeSyscalls } from '@layerstore/linux';
import type { LayerSource, PinnedRepository, RepositoryRequest } from './layer-source.js';
import type { RepositoryKeys } from './repository-keys.js';

/**
 * Repositories that somebody else mounts, each on `<directory>/<repository>`: by autofs, by hand, or a plain copy. Which
 * revision they show is his matter, and may change under a container.
 */
export class ExternalSource implements LayerSource {
  readonly method = 'external';

  constructor(
    private readonly directory: string,
    private readonly keys: RepositoryKeys,
  ) {}

  async requireKey(repository: string): Promise<void> {
    this.keys.require(repository);
    return Promise.resolve();
  }

  async acquire({ repository }: RepositoryRequest): Promise<PinnedRepository> {
    const path = join(this.directory, repository);
    if (!(await isMounted(path))) {
      throw new StoreError('ERR_NOT_FOUND', 'the repository is not mounted', {
        subject: path,
        hint: 'mount it there, name another place with cvmfsMountPath, or leave cvmfsMountMethod=external out',
      });
    }
    const revision = revisionOf(path);
    return { path, ...(revision === undefined ? {} : { revision }) };
  }

  async release(): Promise<void> {
    return Promise.resolve();
  }
}

async function isMounted(path: string): Promise<boolean> {
  try {
    // Following symlinks: who mounts repositories may keep them elsewhere. autofs mounts when it is asked.
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw fromSystemError(error, path);
  }
}

/** The standard client tells the hash of the revision's root catalog; plain directories do not. */
export function revisionOf(path: string): string | undefined {
  return nativeSyscalls().getXattr(path, 'user.root_hash')?.toString();
}
