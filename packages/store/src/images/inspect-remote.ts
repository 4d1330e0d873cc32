import type { OperationOptions } from '@layerstore/core';
import { loadRegistry, parsePlatform, type RegistryOptions, type RemoteDetails } from '@layerstore/oci';
import { firstCandidate } from './first-candidate.js';

export interface InspectRemoteOptions extends Pick<OperationOptions, 'signal'> {
  /** Which image of an index is described; default: what this machine runs, if it is there. */
  readonly platform?: string;
  readonly registry?: RegistryOptions;
}

/**
 * What a registry has under a reference: an image, an index, or an artifact, and what refers to it. No store is needed; no layer is fetched.
 * @throws StoreError ERR_INVALID_REFERENCE, ERR_IMAGE_NOT_FOUND, ERR_NO_PLATFORM when a platform was asked for, ERR_MALFORMED_IMAGE
 * @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED, ERR_UNSAFE_TRANSFER
 */
export async function inspectRemote(text: string, options: InspectRemoteOptions = {}): Promise<RemoteDetails> {
  const { inspectReference } = await loadRegistry();
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  return await firstCandidate(text, options.registry ?? {}, (repository, reference) =>
    inspectReference(repository, reference, { signal: options.signal, platform }),
  );
}
