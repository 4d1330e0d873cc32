import { hasCode, StoreError } from '@layerstore/core';
import { loadRegistry, type Reference, type RegistryOptions, type Repository } from '@layerstore/oci';

/** After these a short name may still mean an image of the next registry. */
const nextCandidate = [
  'ERR_IMAGE_NOT_FOUND',
  'ERR_REGISTRY_DENIED',
  'ERR_REGISTRY_FAILED',
  'ERR_REGISTRY_UNREACHABLE',
] as const;

/**
 * Works on the first image that a name stands for and that can be had.
 * @throws StoreError what `use` throws; ERR_IMAGE_NOT_FOUND with all that was tried when a short name has several candidates
 */
export async function firstCandidate<Result>(
  text: string,
  options: RegistryOptions,
  use: (repository: Repository, reference: Reference) => Promise<Result>,
): Promise<Result> {
  const { Repository: Repositories, shortNameCandidates } = await loadRegistry();
  const candidates = shortNameCandidates(text, options.shortNames);
  const failures: StoreError[] = [];
  for (const reference of candidates) {
    using repository = await Repositories.open(reference, options);
    try {
      return await use(repository, reference);
    } catch (error) {
      if (candidates.length === 1 || !hasCode(error, ...nextCandidate)) throw error;
      failures.push(error);
    }
  }
  throw new StoreError('ERR_IMAGE_NOT_FOUND', failures.map(({ message }) => message).join('; '), {
    subject: text,
    hint: 'write the name with its registry',
    cause: failures[0],
  });
}
