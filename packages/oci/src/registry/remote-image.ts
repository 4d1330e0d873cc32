import { StoreError, type DiffId, type Digest } from '@layerstore/core';
import { checkLayersFit, configPlatform, parseImageConfig } from '../config.js';
import type { Descriptor } from '../descriptor.js';
import { malformed } from '../document.js';
import { DESCRIPTOR_LIMIT, INDEX_DEPTH_LIMIT, isAttestation } from '../index-walk.js';
import type { ImageManifest } from '../manifest.js';
import { isImageConfigType, isIndexType, isLayerType, isManifestType, isSchemaOneType } from '../media-type.js';
import { bestForPlatform, formatPlatform, hostPlatform, type Platform } from '../platform.js';
import { canonicalName, type Reference } from '../reference.js';
import { unsupportedLayer } from '../image-record.js';
import { fetchSmallBlob } from './blobs.js';
import { fetchManifest, type RemoteManifest, type RequestOptions } from './manifests.js';
import type { Repository } from './repository.js';

export interface ChooseOptions extends RequestOptions {
  /** Which image of an index; default: what this machine runs. */
  readonly platform?: Platform | undefined;
  /** Configs that need not be fetched. */
  readonly knownConfig?: (digest: Digest) => Buffer | undefined;
}

/** An image in a registry, read down to its layers, which are only named. */
export interface RemoteImage {
  /** Canonical. */
  readonly reference: string;
  /** Of what the reference names: the index, where there is one. */
  readonly digest: Digest;
  readonly manifest: { readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string };
  readonly config: { readonly bytes: Buffer; readonly digest: Digest };
  readonly platform: Platform;
  readonly diffIds: readonly DiffId[];
  /** As many as `diffIds`, in the same order. */
  readonly layers: readonly Descriptor[];
}

/**
 * Finds out what a reference names. A tag is asked for once; all the rest goes by digest, so a tag that moves meanwhile changes nothing.
 * @throws StoreError as {@link fetchManifest}; ERR_NO_PLATFORM; ERR_UNSUPPORTED_FORMAT for what is no container image
 */
export async function resolveImage(
  repository: Repository,
  reference: Reference,
  options: ChooseOptions,
): Promise<RemoteImage> {
  const subject = canonicalName(reference);
  const top = await fetchManifest(repository, reference.digest ?? reference.tag ?? 'latest', subject, options);
  const chosen = await choose(repository, top, subject, options);
  if (chosen.document.kind !== 'manifest') throw malformed(subject, null, 'an index where a manifest is expected');
  const config = await readConfig(repository, chosen.document, subject, options);
  checkPlatform(config.platform, top === chosen ? options.platform : undefined, subject);
  checkLayersFit(config.parsed, chosen.document.layers.length, `${subject}: manifest ${chosen.digest}`);
  for (const [at, layer] of chosen.document.layers.entries()) {
    if (!isLayerType(layer.mediaType)) throw unsupportedLayer(layer.mediaType, `${subject}: layers.${at}`);
  }
  return {
    reference: subject,
    digest: top.digest,
    manifest: { bytes: chosen.bytes, digest: chosen.digest, mediaType: chosen.document.mediaType },
    config: { bytes: config.bytes, digest: config.digest },
    platform: config.platform,
    diffIds: config.parsed.rootfs.diff_ids,
    layers: chosen.document.layers,
  };
}

/** The manifest for the platform; the document itself where it is a manifest. */
export async function choose(
  repository: Repository,
  top: RemoteManifest,
  subject: string,
  options: ChooseOptions,
): Promise<RemoteManifest> {
  if (top.document.kind === 'manifest') return top;
  const candidates = await manifestsBehind(repository, top, subject, options);
  const wanted = options.platform ?? hostPlatform();
  const [best] = bestForPlatform(candidates, wanted);
  if (best !== undefined) return best.read();
  const there = [...new Set(candidates.map(({ platform }) => formatPlatform(platform)))];
  throw new StoreError(
    'ERR_NO_PLATFORM',
    there.length === 0
      ? 'the index lists no image'
      : `nothing fits ${formatPlatform(wanted)}; there is ${there.join(', ')}`,
    {
      subject,
      ...(there[0] === undefined ? {} : { hint: `choose one of them, for example with --platform ${there[0]}` }),
    },
  );
}

interface Candidate {
  readonly platform: Platform;
  read(): Promise<RemoteManifest>;
}

/** The images behind an index and the indexes in it; of those without a platform the configs tell. */
async function manifestsBehind(
  repository: Repository,
  top: RemoteManifest,
  subject: string,
  options: RequestOptions,
): Promise<Candidate[]> {
  const found: Candidate[] = [];
  const seen = new Set<Digest>();
  const visit = async (manifest: RemoteManifest, depth: number): Promise<void> => {
    if (depth > INDEX_DEPTH_LIMIT) {
      throw new StoreError('ERR_LIMIT_EXCEEDED', `indexes are nested deeper than ${INDEX_DEPTH_LIMIT}`, { subject });
    }
    if (manifest.document.kind !== 'index') throw malformed(subject, null, 'a manifest where an index is expected');
    for (const entry of manifest.document.manifests) {
      if (seen.has(entry.digest) || isAttestation(entry)) continue;
      seen.add(entry.digest);
      if (seen.size > DESCRIPTOR_LIMIT) {
        throw new StoreError('ERR_LIMIT_EXCEEDED', `more than ${DESCRIPTOR_LIMIT} entries`, { subject });
      }
      const read = (): Promise<RemoteManifest> => readEntry(repository, entry, subject, options);
      if (isIndexType(entry.mediaType)) await visit(await read(), depth + 1);
      else if (!isManifestType(entry.mediaType) && !isSchemaOneType(entry.mediaType)) continue;
      else if (entry.platform !== undefined) found.push({ platform: entry.platform, read });
      else found.push(...(await withoutPlatform(repository, await read(), subject, options)));
    }
  };
  await visit(top, 1);
  return found;
}

async function withoutPlatform(
  repository: Repository,
  manifest: RemoteManifest,
  subject: string,
  options: RequestOptions,
): Promise<Candidate[]> {
  if (manifest.document.kind !== 'manifest' || !isImage(manifest.document)) return [];
  const { platform } = await readConfig(repository, manifest.document, subject, options);
  return [{ platform, read: () => Promise.resolve(manifest) }];
}

async function readEntry(
  repository: Repository,
  entry: Descriptor,
  subject: string,
  options: RequestOptions,
): Promise<RemoteManifest> {
  const manifest = await fetchManifest(repository, entry.digest, subject, options);
  if (manifest.bytes.length === entry.size) return manifest;
  throw new StoreError('ERR_SIZE_MISMATCH', `${manifest.bytes.length} bytes, ${entry.size} are stated`, {
    subject: `${subject}: manifest ${entry.digest}`,
  });
}

export function isImage({ config, artifactType }: ImageManifest): boolean {
  return isImageConfigType(config.mediaType) && artifactType === undefined;
}

export async function readConfig(
  repository: Repository,
  manifest: ImageManifest,
  subject: string,
  options: Pick<ChooseOptions, 'knownConfig' | 'signal' | 'onPause'>,
) {
  if (!isImage(manifest)) {
    throw new StoreError(
      'ERR_UNSUPPORTED_FORMAT',
      `not a container image but an artifact of type ${manifest.artifactType ?? manifest.config.mediaType}`,
      { subject, hint: '`layerstore inspect --remote` shows what it is' },
    );
  }
  const bytes =
    options.knownConfig?.(manifest.config.digest) ??
    (await fetchSmallBlob(repository, manifest.config, subject, options));
  const parsed = parseImageConfig(bytes, `${subject}: config ${manifest.config.digest}`);
  return { bytes, digest: manifest.config.digest, parsed, platform: configPlatform(parsed) };
}

/** A single manifest is what it is; only a platform that was asked for has to fit. */
function checkPlatform(platform: Platform, wanted: Platform | undefined, subject: string): void {
  if (wanted === undefined || bestForPlatform([{ platform }], wanted).length > 0) return;
  throw new StoreError(
    'ERR_NO_PLATFORM',
    `nothing fits ${formatPlatform(wanted)}; there is ${formatPlatform(platform)}`,
    {
      subject,
      hint: `leave out --platform to take ${formatPlatform(platform)}`,
    },
  );
}
