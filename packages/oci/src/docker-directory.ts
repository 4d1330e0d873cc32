import { digestHex, digestOf, StoreError, type Digest } from '@layerstore/core';
import type { Blobs } from './blobs.js';
import type { Entry } from './image-choice.js';
import { entriesOfIndex } from './index-walk.js';
import { parseManifest } from './manifest.js';
import { findMember, readMember, type Members } from './members.js';

/**
 * Lists a directory that `skopeo copy ... dir:PATH` wrote:
 * ```
 * version               Directory Transport Version: 1.1
 * manifest.json         the image's manifest, or its index
 * <hex>.manifest.json   manifests that the index lists
 * <hex>                 config and layers
 * ```
 * It has no names.
 * @throws StoreError ERR_MALFORMED_IMAGE; ERR_UNSUPPORTED_FORMAT for another major version
 */
export async function readDockerDirectory(members: Members, manifest: Buffer): Promise<Entry[]> {
  const version = await readMember(members, 'version');
  if (version !== undefined && !version.toString('latin1').startsWith('Directory Transport Version: 1.')) {
    throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'not version 1 of the directory format', {
      subject: `${members.subject}: version`,
    });
  }
  const { mediaType } = parseManifest(manifest, `${members.subject}: manifest.json`);
  const digest = digestOf(manifest);
  const root = { mediaType, digest, size: manifest.length, annotations: {} };
  return entriesOfIndex(directoryBlobs(members, digest), [root], () => ({ references: [], tags: [] }));
}

function directoryBlobs(members: Members, root: Digest): Blobs {
  return {
    subject: members.subject,
    locate: async (digest) =>
      digest === root
        ? await findMember(members, 'manifest.json')
        : ((await findMember(members, `${digestHex(digest)}.manifest.json`)) ??
          (await findMember(members, digestHex(digest)))),
  };
}
