import { digestOf, isDigest, StoreError, type Digest } from '@layerstore/core';
import { DOCUMENT_LIMIT } from '../document.js';
import { parseManifest, type ImageIndex, type ImageManifest } from '../manifest.js';
import { isIndexType, isManifestType, isSchemaOneType, mediaTypes } from '../media-type.js';
import type { OnPause } from './backoff.js';
import { readBody } from './body.js';
import type { Repository } from './repository.js';

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onPause?: OnPause | undefined;
}

/** A manifest or index as the registry gave it, verified by its digest. */
export interface RemoteManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly document: ImageManifest | ImageIndex;
}

/** Every kind that is understood; without it registries convert to what old clients knew. */
const ACCEPT = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.dockerManifest,
].join(', ');

/**
 * Fetches a manifest or index.
 * @param tagOrDigest what comes by digest must have it; a tag is asked for once, and everything below it goes by digest
 * @throws StoreError as {@link Repository.call}; ERR_DIGEST_MISMATCH; ERR_LIMIT_EXCEEDED above DOCUMENT_LIMIT; and what parseManifest throws
 */
export async function fetchManifest(
  repository: Repository,
  tagOrDigest: string,
  subject: string,
  options: RequestOptions,
): Promise<RemoteManifest> {
  const response = await repository.call({
    method: 'GET',
    path: `manifests/${tagOrDigest}`,
    scope: 'pull',
    accept: [200],
    headers: { accept: ACCEPT },
    subject,
    ...options,
  });
  const within = 5 * repository.patience.stall;
  const bytes = await readBody(response, `${subject}: manifest`, {
    limit: DOCUMENT_LIMIT,
    within,
    signal: options.signal,
  });
  const digest = digestOf(bytes);
  const expected = isDigest(tagOrDigest) ? tagOrDigest : response.header('docker-content-digest');
  if (expected !== undefined && isDigest(expected) && expected !== digest) {
    throw new StoreError('ERR_DIGEST_MISMATCH', `the registry gave a manifest with the digest ${digest}`, {
      subject: `${subject}: ${expected}`,
      hint: 'try again; if it repeats, the registry or a proxy before it alters what it gives',
    });
  }
  const document = parseManifest(bytes, `${subject}: manifest ${digest}`, statedType(response.header('content-type')));
  return { bytes, digest, document };
}

/** Registries on plain file servers state types that say nothing. */
function statedType(header: string | undefined): string | undefined {
  const type = header?.split(';')[0]?.trim().toLowerCase() ?? '';
  return isManifestType(type) || isIndexType(type) || isSchemaOneType(type) ? type : undefined;
}

/**
 * Stores a manifest under a tag or its digest.
 * @returns its digest
 * @throws StoreError as {@link Repository.call}; ERR_DIGEST_MISMATCH when the registry made another of it
 */
export async function putManifest(
  repository: Repository,
  tagOrDigest: string,
  manifest: { readonly bytes: Buffer; readonly mediaType: string },
  subject: string,
  options: RequestOptions,
): Promise<Digest> {
  const { bytes, mediaType } = manifest;
  const digest = digestOf(bytes);
  const response = await repository.call({
    method: 'PUT',
    path: `manifests/${tagOrDigest}`,
    scope: 'push',
    accept: [200, 201, 202],
    body: { length: bytes.length, type: mediaType, open: () => bytes },
    subject,
    ...options,
  });
  const stored = response.header('docker-content-digest');
  response.body.resume();
  if (stored === undefined || stored === digest) return digest;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the registry stored the manifest as ${stored}`, {
    subject: `${subject}: ${digest}`,
  });
}
