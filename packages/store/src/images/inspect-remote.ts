import { StoreError, type OperationOptions } from '@layerstore/core';
import { loadRegistry, parsePlatform, type RegistryOptions, type RemoteDetails } from '@layerstore/oci';

export interface InspectRemoteOptions extends Pick<OperationOptions, 'signal'> {
  /** Which image of an index is described; default: what this machine runs, if it is there. */
  readonly platform?: string;
  readonly registry?: RegistryOptions;
}

/**
 * What a registry has under a reference: an image, an index, or an artifact, and what refers to it. No store is needed; no layer is fetched.
 * Of a short name the first registry of the configuration counts.
 * @throws StoreError ERR_INVALID_REFERENCE, ERR_IMAGE_NOT_FOUND, ERR_NO_PLATFORM when a platform was asked for, ERR_MALFORMED_IMAGE
 * @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED, ERR_UNSAFE_TRANSFER
 */
export async function inspectRemote(reference: string, options: InspectRemoteOptions = {}): Promise<RemoteDetails> {
  const { inspectReference, Repository, shortNameCandidates } = await loadRegistry();
  const [candidate] = shortNameCandidates(reference, options.registry?.shortNames);
  if (candidate === undefined)
    throw new StoreError('ERR_INTERNAL', 'a name stands for nothing', { subject: reference });
  using repository = await Repository.open(candidate, options.registry ?? {});
  return await inspectReference(repository, candidate, {
    signal: options.signal,
    platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
  });
}
