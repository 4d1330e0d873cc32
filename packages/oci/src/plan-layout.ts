import { digestHex, digestOf, StoreError, type DiffId, type Digest } from '@layerstore/core';
import { parseImageConfig } from './config.js';
import type { BlobReference, Descriptor } from './descriptor.js';
import { encodeIndex, encodeManifest, parseManifest } from './manifest.js';
import { mediaTypes } from './media-type.js';
import { canonicalName, parseReference } from './reference.js';

/** Bytes that are known when an archive is planned. */
export interface BytesPart {
  readonly kind: 'bytes';
  readonly data: Buffer;
}

/** An image to be written; `Content` is the caller's word for the bytes of a layer, passed through untouched. */
export interface ExportImage<Content> {
  readonly config: Buffer;
  /** Canonical or familiar. */
  readonly references: readonly string[];
  /** Base first. */
  readonly layers: readonly ExportLayer<Content>[];
  /** The manifest that the image came with; it is kept if the layers are given in the form it names, else a new one is made. */
  readonly manifest?: { readonly bytes: Buffer; readonly mediaType: string };
}

/** A layer as it will be written: plain, or compressed. */
export interface ExportLayer<Content> {
  readonly diffId: DiffId;
  /** Of the bytes written: the diff ID itself for a plain tar. */
  readonly digest: Digest;
  /** Bytes written. */
  readonly size: number;
  readonly mediaType: string;
  readonly content: Content;
}

/** A file of a layout; `path` is relative, with `/`. */
export interface PlannedFile<Content> {
  readonly path: string;
  readonly size: number;
  readonly part: BytesPart | Content;
}

/**
 * The files of an OCI image layout, documents first. Equal input gives equal files.
 * @throws StoreError ERR_INVALID_ARGUMENT when an image's layers are not those of its config; ERR_INVALID_REFERENCE
 */
export function planOciLayout<Content>(images: readonly ExportImage<Content>[]): PlannedFile<Content>[] {
  const entries: Descriptor[] = [];
  const blobs = new Map<string, PlannedFile<Content>>();
  const add = (digest: Digest, size: number, part: BytesPart | Content): void => {
    const path = blobPath(digest);
    if (!blobs.has(path)) blobs.set(path, { path, size, part });
  };
  for (const image of images) {
    checkLayers(image);
    const { bytes, mediaType } = manifestOf(image);
    add(digestOf(bytes), bytes.length, { kind: 'bytes', data: bytes });
    add(digestOf(image.config), image.config.length, { kind: 'bytes', data: image.config });
    const entry = { mediaType, digest: digestOf(bytes), size: bytes.length };
    const names = image.references.length === 0 ? [{}] : image.references.map(nameAnnotations);
    for (const annotations of names) entries.push({ ...entry, annotations });
  }
  for (const image of images) for (const layer of image.layers) add(layer.digest, layer.size, layer.content);
  return [
    documentFile('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')),
    documentFile('index.json', encodeIndex(entries)),
    ...blobs.values(),
  ];
}

/** Where a blob lies in a layout. */
export function blobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

export function documentFile(path: string, data: Buffer): PlannedFile<never> {
  return { path, size: data.length, part: { kind: 'bytes', data } };
}

/** As containerd, docker and buildkit write them: the complete name for themselves, the tag for skopeo and umoci. */
function nameAnnotations(reference: string): Record<string, string> {
  const parsed = parseReference(reference);
  return {
    'io.containerd.image.name': canonicalName(parsed),
    ...(parsed.tag === undefined ? {} : { 'org.opencontainers.image.ref.name': parsed.tag }),
  };
}

function manifestOf<Content>(image: ExportImage<Content>): { bytes: Buffer; mediaType: string } {
  const digest = digestOf(image.config);
  if (image.manifest !== undefined) {
    const kept = parseManifest(image.manifest.bytes, 'kept manifest', image.manifest.mediaType);
    const fits =
      kept.kind === 'manifest' &&
      kept.config.digest === digest &&
      kept.layers.length === image.layers.length &&
      kept.layers.every((layer, at) => layer.digest === image.layers[at]?.digest);
    if (fits) return { bytes: image.manifest.bytes, mediaType: kept.mediaType };
  }
  const config: BlobReference = { mediaType: mediaTypes.ociConfig, digest, size: image.config.length };
  return { bytes: encodeManifest(config, image.layers), mediaType: mediaTypes.ociManifest };
}

function checkLayers<Content>({ config, layers, references }: ExportImage<Content>): void {
  const diffIds = parseImageConfig(config).rootfs.diff_ids;
  if (diffIds.length === layers.length && diffIds.every((diffId, at) => diffId === layers[at]?.diffId)) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'the layers are not those of the config', {
    subject: references[0] ?? digestOf(config),
  });
}
