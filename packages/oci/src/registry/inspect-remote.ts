import { hasCode, type DiffId, type Digest } from '@layerstore/core';
import type { Descriptor } from '../descriptor.js';
import { malformed } from '../document.js';
import { formatPlatform } from '../platform.js';
import { canonicalName, type Reference } from '../reference.js';
import { fetchManifest, type RemoteManifest } from './manifests.js';
import { listReferrers } from './referrers.js';
import { choose, isImage, readConfig, type ChooseOptions } from './remote-image.js';
import type { Repository } from './repository.js';

/** What a registry has under a reference. Sizes in bytes, of blobs as they are stored there. */
export interface RemoteDetails {
  /** Canonical. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  readonly kind: 'index' | 'image' | 'artifact';
  /** What an index lists. */
  readonly manifests?: readonly RemoteEntry[];
  /** The image, or of an index the one that fits; absent where none does. */
  readonly image?: RemoteImageDetails;
  readonly artifact?: { readonly artifactType: string; readonly blobs: readonly RemoteEntry[] };
  readonly annotations: Readonly<Record<string, string>>;
  /** Signatures, attestations and other artifacts that refer to it. */
  readonly referrers: readonly RemoteEntry[];
}

export interface RemoteEntry {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** `linux/amd64` */
  readonly platform?: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
}

export interface RemoteImageDetails {
  /** Digest of the config. */
  readonly id: Digest;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly platform: string;
  /** Bytes to download for all layers. */
  readonly size: number;
  readonly layers: readonly (RemoteEntry & { readonly diffId?: DiffId })[];
  /** As stored (OCI image-spec, config.md). */
  readonly config: unknown;
}

/** @throws StoreError as {@link fetchManifest}; ERR_NO_PLATFORM only when a platform was asked for */
export async function inspectReference(
  repository: Repository,
  reference: Reference,
  options: ChooseOptions,
): Promise<RemoteDetails> {
  const subject = canonicalName(reference);
  const top = await fetchManifest(repository, reference.digest ?? reference.tag ?? 'latest', subject, options);
  const { document } = top;
  const common = {
    reference: subject,
    digest: top.digest,
    mediaType: document.mediaType,
    size: top.bytes.length,
    annotations: document.annotations,
    referrers: (await listReferrers(repository, top.digest, subject, options)).map(entryOf),
  };
  if (document.kind === 'index') {
    const image = await imageOfIndex(repository, top, subject, options);
    return {
      ...common,
      kind: 'index',
      manifests: document.manifests.map(entryOf),
      ...(image === undefined ? {} : { image }),
    };
  }
  if (isImage(document))
    return { ...common, kind: 'image', image: await imageDetails(repository, top, subject, options) };
  const artifactType = document.artifactType ?? document.config.mediaType;
  return { ...common, kind: 'artifact', artifact: { artifactType, blobs: document.layers.map(entryOf) } };
}

async function imageOfIndex(
  repository: Repository,
  top: RemoteManifest,
  subject: string,
  options: ChooseOptions,
): Promise<RemoteImageDetails | undefined> {
  try {
    return await imageDetails(repository, await choose(repository, top, subject, options), subject, options);
  } catch (error) {
    const isIncomplete = hasCode(error, 'ERR_NO_PLATFORM', 'ERR_IMAGE_NOT_FOUND', 'ERR_UNSUPPORTED_FORMAT');
    if (options.platform !== undefined || !isIncomplete) throw error;
    return undefined;
  }
}

async function imageDetails(
  repository: Repository,
  manifest: RemoteManifest,
  subject: string,
  options: ChooseOptions,
): Promise<RemoteImageDetails> {
  if (manifest.document.kind !== 'manifest') throw malformed(subject, null, 'an index where a manifest is expected');
  const { layers } = manifest.document;
  const config = await readConfig(repository, manifest.document, subject, options);
  const diffIds = config.parsed.rootfs.diff_ids;
  return {
    id: config.digest,
    digest: manifest.digest,
    platform: formatPlatform(config.platform),
    size: layers.reduce((sum, layer) => sum + layer.size, 0),
    layers: layers.map((layer, at) => {
      const diffId = diffIds[at];
      return { ...entryOf(layer), ...(diffId === undefined ? {} : { diffId }) };
    }),
    config: JSON.parse(config.bytes.toString('utf8')) as unknown,
  };
}

function entryOf(descriptor: Descriptor): RemoteEntry {
  const { digest, mediaType, size, platform, artifactType, annotations, urls } = descriptor;
  return {
    digest,
    mediaType,
    size,
    ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(urls === undefined ? {} : { urls }),
  };
}
