import { digestHex, hasCode, StoreError } from '@layerstore/core';
import * as v from 'valibot';
import { blobsAmong } from './blobs.js';
import type { Descriptor } from './descriptor.js';
import { malformed, parseDocument } from './document.js';
import type { Entry } from './image-choice.js';
import { entriesOfIndex } from './index-walk.js';
import { parseManifest } from './manifest.js';
import { mediaTypes } from './media-type.js';
import { readMember, type Members } from './members.js';
import { normaliseReference } from './reference.js';

const layoutSchema = v.object({ imageLayoutVersion: v.string() });

/**
 * Lists an OCI image layout (image-spec, image-layout.md):
 * ```
 * oci-layout            {"imageLayoutVersion":"1.0.0"}
 * index.json            an index whose annotations hold the names
 * blobs/sha256/<hex>    manifests, configs, layers
 * ```
 * @throws StoreError ERR_MALFORMED_IMAGE; ERR_UNSUPPORTED_FORMAT for another major version
 */
export async function readOciLayout(members: Members): Promise<Entry[]> {
  const layout = await requireMember(members, 'oci-layout');
  const version = parseDocument(layout, layoutSchema, `${members.subject}: oci-layout`).imageLayoutVersion;
  if (!version.startsWith('1.')) {
    throw new StoreError('ERR_UNSUPPORTED_FORMAT', `layout version ${version} is not supported`, {
      subject: `${members.subject}: oci-layout`,
    });
  }
  const subject = `${members.subject}: index.json`;
  const index = parseManifest(await requireMember(members, 'index.json'), subject, mediaTypes.ociIndex);
  if (index.kind !== 'index') throw malformed(subject, null, 'not an index');
  const blobs = blobsAmong(members, (digest) => `blobs/sha256/${digestHex(digest)}`);
  return entriesOfIndex(blobs, index.manifests, imageNames);
}

/**
 * The names that a descriptor carries. containerd, docker and buildkit write the complete name beside the tag; podman
 * writes the complete name in place of the tag; skopeo and umoci know only the tag.
 */
export function imageNames(descriptor: Pick<Descriptor, 'annotations'>): { references: string[]; tags: string[] } {
  const complete = descriptor.annotations['io.containerd.image.name'] ?? '';
  const short = descriptor.annotations['org.opencontainers.image.ref.name'] ?? '';
  const references = [complete, short]
    .filter((text) => /[/:@]/.test(text))
    .map(referenceOrNone)
    .filter((reference) => reference !== undefined);
  const [reference] = references;
  if (reference !== undefined) return { references: [reference], tags: [] };
  return { references: [], tags: short === '' ? [] : [short] };
}

/** image-spec allows names here that no engine takes for a reference; they stay usable as tags. */
function referenceOrNone(text: string): string | undefined {
  try {
    return normaliseReference(text);
  } catch (error) {
    if (hasCode(error, 'ERR_INVALID_REFERENCE')) return undefined;
    throw error;
  }
}

async function requireMember(members: Members, name: string): Promise<Buffer> {
  const bytes = await readMember(members, name);
  if (bytes !== undefined) return bytes;
  throw new StoreError('ERR_MALFORMED_IMAGE', 'missing', { subject: `${members.subject}: ${name}` });
}
