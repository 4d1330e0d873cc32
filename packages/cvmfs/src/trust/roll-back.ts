import { StoreError } from '@layerstore/core';
import type { Manifest } from '../format/manifest.js';

export function rolledBack(repository: string, reason: string): StoreError {
  return new StoreError('ERR_REPOSITORY_ROLLED_BACK', reason, {
    subject: repository,
    hint: 'if that is meant, name the revision by its root hash, or remove the directory of the repository in the cache',
  });
}

/**
 * A manifest may not be older than the one that this machine has seen before.
 * @throws StoreError ERR_REPOSITORY_ROLLED_BACK
 */
export function refuseRollBack(manifest: Manifest, known: Manifest | undefined): void {
  if (known === undefined) return;
  if (manifest.revision < known.revision) {
    throw rolledBack(manifest.name, `revision ${manifest.revision} is shown, ${known.revision} was seen before`);
  }
  if (manifest.publishedAt < known.publishedAt) {
    throw rolledBack(
      manifest.name,
      `revision ${manifest.revision} is older than ${known.revision}, which was seen before`,
    );
  }
}
