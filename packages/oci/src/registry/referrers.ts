import { digestHex, hasCode, type Digest } from '@layerstore/core';
import { DOCUMENT_LIMIT } from '../document.js';
import type { Descriptor } from '../descriptor.js';
import { parseManifest } from '../manifest.js';
import { mediaTypes } from '../media-type.js';
import { dropBody, readBody } from './body.js';
import { fetchManifest, type RequestOptions } from './manifests.js';
import type { Repository } from './repository.js';
import type { HttpResponse } from './transport.js';

/** Pages of a list of referrers that are read. */
const PAGE_LIMIT = 100;

/**
 * What refers to a manifest: signatures, bills of material, attestations (OCI distribution-spec 1.1, "Listing Referrers"). Where a registry
 * does not know the question, the tag `sha256-<hex>` holds the answer.
 * @throws StoreError as {@link Repository.call}
 */
export async function listReferrers(
  repository: Repository,
  digest: Digest,
  subject: string,
  options: RequestOptions,
): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = [];
  let next: string | URL | undefined = `referrers/${digest}`;
  for (let page = 0; next !== undefined && page < PAGE_LIMIT; page += 1) {
    const response: HttpResponse = await repository.call({
      method: 'GET',
      path: next,
      scope: 'pull',
      accept: [200, 400, 404, 405],
      headers: { accept: mediaTypes.ociIndex },
      subject,
      ...options,
    });
    if (response.status !== 200) {
      dropBody(response);
      return await referrersByTag(repository, digest, subject, options);
    }
    const within = 5 * repository.patience.stall;
    const bytes = await readBody(response, `${subject}: referrers`, {
      limit: DOCUMENT_LIMIT,
      within,
      signal: options.signal,
    });
    const index = parseManifest(bytes, `${subject}: referrers`, mediaTypes.ociIndex);
    if (index.kind === 'index') found.push(...index.manifests);
    next = nextPage(response);
  }
  return found;
}

async function referrersByTag(
  repository: Repository,
  digest: Digest,
  subject: string,
  options: RequestOptions,
): Promise<readonly Descriptor[]> {
  try {
    const { document } = await fetchManifest(repository, `sha256-${digestHex(digest)}`, subject, options);
    return document.kind === 'index' ? document.manifests : [];
  } catch (error) {
    if (hasCode(error, 'ERR_IMAGE_NOT_FOUND')) return [];
    throw error;
  }
}

/** `Link: </v2/name/referrers/sha256:...?last=x>; rel="next"` (RFC 5988). */
function nextPage(response: HttpResponse): URL | undefined {
  const target = /^\s*<([^>]*)>\s*;\s*rel="?next"?/.exec(response.header('link') ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, response.url.href)) return undefined;
  const url = new URL(target, response.url);
  return url.origin === response.url.origin ? url : undefined;
}
