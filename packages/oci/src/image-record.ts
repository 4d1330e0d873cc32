import { StoreError, type Digest } from '@layerstore/core';
import { findBlob, readBlob, type Blobs } from './blobs.js';
import { checkLayersFit, configPlatform, parseImageConfig, type ImageConfig } from './config.js';
import type { BlobReference } from './descriptor.js';
import { malformed } from './document.js';
import type { ImageRecord, LayerBlob } from './image-source.js';
import { parseManifest, type ImageManifest } from './manifest.js';
import { isImageConfigType, isLayerType } from './media-type.js';

/** What a manifest and a config say of an image; its names come from the archive around them. */
export type UnnamedImage = Omit<ImageRecord, 'references' | 'tags'>;

/** A manifest that was read and verified. */
export interface StoredManifest {
  readonly reference: BlobReference;
  readonly bytes: Buffer;
  readonly manifest: ImageManifest;
}

/** @throws StoreError as readBlob and parseManifest */
export async function readManifest(blobs: Blobs, reference: BlobReference): Promise<StoredManifest> {
  const bytes = await readBlob(blobs, reference, 'manifest');
  const subject = `${blobs.subject}: manifest ${reference.digest}`;
  const manifest = parseManifest(bytes, subject, reference.mediaType);
  if (manifest.kind !== 'manifest') throw malformed(subject, null, 'an index where a manifest is expected');
  return { reference, bytes, manifest };
}

/** Signatures, charts and other artifacts are stored as manifests too; what they lack is an image's config. */
export function isContainerImage({ manifest }: StoredManifest): boolean {
  return isImageConfigType(manifest.config.mediaType) && manifest.artifactType === undefined;
}

/** A config that was read and verified; `digest` is the image ID. */
export interface StoredConfig {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly config: ImageConfig;
}

/** @throws StoreError as readBlob and parseImageConfig */
export async function readConfig(blobs: Blobs, { manifest }: StoredManifest): Promise<StoredConfig> {
  const { digest } = manifest.config;
  const bytes = await readBlob(blobs, manifest.config, 'config');
  return { bytes, digest, config: parseImageConfig(bytes, `${blobs.subject}: config ${digest}`) };
}

/** What a config says of its image. */
export function describeConfig({ bytes, digest, config }: StoredConfig): Omit<UnnamedImage, 'layers'> {
  return { config: { bytes, digest }, platform: configPlatform(config), diffIds: config.rootfs.diff_ids };
}

/**
 * Completes an image from its manifest: config and layers are found, compared with what the manifest says, and
 * paired with the diff IDs.
 * @throws StoreError ERR_MALFORMED_IMAGE, ERR_SIZE_MISMATCH, ERR_DIGEST_MISMATCH, ERR_UNSUPPORTED_FORMAT for layers that
 * are not tars
 */
export async function imageFromManifest(blobs: Blobs, stored: StoredManifest): Promise<UnnamedImage> {
  const storedConfig = await readConfig(blobs, stored);
  const { reference, bytes, manifest } = stored;
  const subject = `${blobs.subject}: manifest ${reference.digest}`;
  checkLayersFit(storedConfig.config, manifest.layers.length, subject);
  const layers: LayerBlob[] = [];
  for (const [at, diffId] of storedConfig.config.rootfs.diff_ids.entries()) {
    const layer = manifest.layers[at];
    if (layer === undefined) continue;
    if (!isLayerType(layer.mediaType)) throw unsupportedLayer(layer.mediaType, `${subject}: layers.${at}`);
    const file = await findBlob(blobs, layer, 'layer');
    layers.push({ diffId, file, digest: layer.digest, size: layer.size, mediaType: layer.mediaType });
  }
  return {
    ...describeConfig(storedConfig),
    manifest: { bytes, digest: reference.digest, mediaType: manifest.mediaType },
    layers,
  };
}

export function unsupportedLayer(mediaType: string, subject: string): StoreError {
  return new StoreError('ERR_UNSUPPORTED_FORMAT', `layers of type ${mediaType} are not supported`, {
    subject,
    ...(mediaType.endsWith('+encrypted') ? { hint: 'decrypt the image first, for example with skopeo' } : {}),
  });
}
