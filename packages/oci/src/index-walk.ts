import { StoreError } from '@layerstore/core';
import { readBlob, type Blobs } from './blobs.js';
import { configPlatform } from './config.js';
import type { Descriptor } from './descriptor.js';
import { malformed } from './document.js';
import type { Candidate, Entry } from './image-choice.js';
import { imageFromManifest, isContainerImage, readConfig, readManifest } from './image-record.js';
import { parseManifest } from './manifest.js';
import { isIndexType, isManifestType, isSchemaOneType } from './media-type.js';

/** Indexes inside indexes; the tools nest them twice at most. */
export const INDEX_DEPTH_LIMIT = 8;
/** Descriptors that are looked at behind one entry: indexes may name each other's children over and over. */
export const DESCRIPTOR_LIMIT = 10_000;

/** One entry for each descriptor of a top-level index, attestations left out. */
export function entriesOfIndex(
  blobs: Blobs,
  descriptors: readonly Descriptor[],
  namesOf: (descriptor: Descriptor) => Pick<Entry, 'references' | 'tags'>,
): Entry[] {
  return descriptors
    .filter((descriptor) => !isAttestation(descriptor))
    .map((descriptor, at) => ({
      ...namesOf(descriptor),
      // Some tools list one manifest per platform right here, with platforms and without names.
      group: descriptor.platform === undefined || isIndexType(descriptor.mediaType) ? `entry ${at}` : 'by platform',
      candidates: () => candidatesBehind(blobs, descriptor),
    }));
}

/**
 * The manifests behind a descriptor. Of those that an index lists, the ones whose manifest is not stored are left out:
 * archives of one platform are saved with the whole index.
 */
async function candidatesBehind(blobs: Blobs, descriptor: Descriptor): Promise<Candidate[]> {
  const indexed = isIndexType(descriptor.mediaType);
  const candidates: Candidate[] = [];
  let missing: Descriptor | undefined;
  for (const manifest of await manifestsBehind(blobs, descriptor)) {
    if (indexed && (await blobs.locate(manifest.digest)) === undefined) missing ??= manifest;
    else candidates.push(...(await toCandidates(blobs, manifest, indexed)));
  }
  if (candidates.length > 0 || missing === undefined) return candidates;
  throw new StoreError('ERR_MALFORMED_IMAGE', 'none of the manifests that it lists is stored', {
    subject: `${blobs.subject}: index ${descriptor.digest}`,
  });
}

/** Flattens nested indexes, in their order and without repetitions; documents of other kinds are left out. */
async function manifestsBehind(blobs: Blobs, root: Descriptor): Promise<Descriptor[]> {
  const found = new Map<string, Descriptor>();
  const seen = new Set<string>();
  let budget = DESCRIPTOR_LIMIT;
  const visit = async (descriptor: Descriptor, depth: number): Promise<void> => {
    const subject = `${blobs.subject}: index ${descriptor.digest}`;
    if (--budget < 0) throw new StoreError('ERR_LIMIT_EXCEEDED', `more than ${DESCRIPTOR_LIMIT} entries`, { subject });
    if (isAttestation(descriptor)) return;
    if (!isIndexType(descriptor.mediaType)) {
      if (isManifestType(descriptor.mediaType) || isSchemaOneType(descriptor.mediaType))
        found.set(descriptor.digest, descriptor);
      return;
    }
    if (depth > INDEX_DEPTH_LIMIT) {
      throw new StoreError('ERR_LIMIT_EXCEEDED', `indexes are nested deeper than ${INDEX_DEPTH_LIMIT}`, { subject });
    }
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    if (descriptor !== root && (await blobs.locate(descriptor.digest)) === undefined) return;
    const index = parseManifest(await readBlob(blobs, descriptor, 'index'), subject, descriptor.mediaType);
    if (index.kind !== 'index') throw malformed(subject, null, 'a manifest where an index is expected');
    for (const child of index.manifests) await visit(child, depth + 1);
  };
  await visit(root, 1);
  return [...found.values()];
}

async function toCandidates(blobs: Blobs, descriptor: Descriptor, indexed: boolean): Promise<Candidate[]> {
  const { platform } = descriptor;
  if (platform !== undefined) {
    const read: Candidate['read'] = async () => {
      const stored = await readManifest(blobs, descriptor);
      return isContainerImage(stored) ? await imageFromManifest(blobs, stored) : undefined;
    };
    return [{ platform, indexed, read }];
  }
  const stored = await readManifest(blobs, descriptor);
  if (!isContainerImage(stored)) return [];
  const { config } = await readConfig(blobs, stored);
  return [{ platform: configPlatform(config), indexed, read: () => imageFromManifest(blobs, stored) }];
}

/** buildkit stores provenance as a manifest for the platform unknown/unknown. */
export function isAttestation({ platform, annotations }: Descriptor): boolean {
  return (
    annotations['vnd.docker.reference.type'] === 'attestation-manifest' ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  );
}
