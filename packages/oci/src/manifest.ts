import { StoreError } from '@layerstore/core';
import * as v from 'valibot';
import {
  annotationsSchema,
  descriptorRecord,
  descriptorSchema,
  toDescriptor,
  type BlobReference,
  type Descriptor,
} from './descriptor.js';
import { absentOr, malformed, parseDocument } from './document.js';
import { isIndexType, isManifestType, isSchemaOneType, mediaTypes } from './media-type.js';

/** The most layers that an image may have; the engines mount at most 128 and 500 leaves room for images made otherwise. */
export const LAYER_LIMIT = 500;

/** One image: OCI image manifest or Docker's schema 2. */
export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
}

/** Several images, of several platforms as a rule: OCI image index or Docker's manifest list. */
export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** Go writes an empty list as `null`: `umoci init` makes such an index. */
const descriptors = v.pipe(
  v.optional(v.nullable(v.array(descriptorSchema))),
  v.transform((list) => (list === null ? [] : list)),
);

const shape = v.object({
  schemaVersion: v.number(),
  mediaType: absentOr(v.string()),
  artifactType: absentOr(v.string()),
  config: absentOr(descriptorSchema),
  layers: descriptors,
  manifests: descriptors,
  annotations: annotationsSchema,
});

const versionShape = v.object({ schemaVersion: absentOr(v.unknown()), mediaType: absentOr(v.unknown()) });

/**
 * Parses a manifest or an index. A document that could be read as both is refused: two programs would see two images
 * under one digest (CVE-2021-41190).
 * @param stated the media type by which the document was referred to
 * @param subject what the document is, as it leads an error
 * @throws StoreError ERR_MALFORMED_IMAGE naming the field; ERR_UNSUPPORTED_FORMAT for Docker's schema 1 and other
 * kinds; ERR_LIMIT_EXCEEDED above {@link LAYER_LIMIT} layers or DOCUMENT_LIMIT bytes
 */
export function parseManifest(bytes: Uint8Array, subject: string, stated?: string): ImageManifest | ImageIndex {
  refuseOtherKinds(parseDocument(bytes, versionShape, subject), subject, stated);
  const document = parseDocument(bytes, shape, subject);
  if (document.schemaVersion !== 2) throw malformed(subject, 'schemaVersion', `${document.schemaVersion} is not 2`);
  const single = document.config !== undefined || document.layers !== undefined;
  if (single && document.manifests !== undefined) {
    throw malformed(subject, 'manifests', 'the document is a manifest and an index at once');
  }
  for (const [mediaType, field] of [
    [document.mediaType, 'mediaType'],
    [stated, 'mediaType of the reference'],
  ] as const) {
    if (mediaType !== undefined && (single ? isIndexType(mediaType) : isManifestType(mediaType))) {
      throw malformed(subject, field, `${mediaType} does not fit the fields of the document`);
    }
  }
  const mediaType = document.mediaType ?? stated;
  const annotations = document.annotations ?? {};
  if (!single) {
    if (document.manifests === undefined) throw malformed(subject, 'manifests', 'missing');
    return {
      kind: 'index',
      mediaType: mediaType ?? mediaTypes.ociIndex,
      manifests: document.manifests.map((entry, at) => toDescriptor(entry, `${subject}: manifests.${at}`)),
      annotations,
    };
  }
  if (document.config === undefined) throw malformed(subject, 'config', 'missing');
  if (document.layers === undefined) throw malformed(subject, 'layers', 'missing');
  checkLayerCount(document.layers.length, subject);
  return {
    kind: 'manifest',
    mediaType: mediaType ?? mediaTypes.ociManifest,
    config: toDescriptor(document.config, `${subject}: config`),
    layers: document.layers.map((layer, at) => toDescriptor(layer, `${subject}: layers.${at}`)),
    annotations,
    ...(document.artifactType === undefined ? {} : { artifactType: document.artifactType }),
  };
}

/** @throws StoreError ERR_LIMIT_EXCEEDED */
export function checkLayerCount(count: number, subject: string): void {
  if (count > LAYER_LIMIT) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `${count} layers, the limit is ${LAYER_LIMIT}`, { subject });
  }
}

/** Schema 1 has other fields altogether, so its version is looked at before the shape. */
function refuseOtherKinds(
  document: v.InferOutput<typeof versionShape>,
  subject: string,
  stated: string | undefined,
): void {
  const mediaType = document.mediaType ?? stated;
  if (typeof mediaType !== 'string') {
    if (document.schemaVersion !== 1) return;
  } else if (isManifestType(mediaType) || isIndexType(mediaType)) {
    if (document.schemaVersion !== 1) return;
  } else if (!isSchemaOneType(mediaType)) {
    throw new StoreError('ERR_UNSUPPORTED_FORMAT', `${mediaType} is not an image`, { subject });
  }
  throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'Docker schema 1 manifests are not supported', {
    subject,
    hint: 'convert the image first, for example with `skopeo copy --format v2s2`',
  });
}

/** The bytes of an OCI image manifest; equal input gives equal bytes. */
export function encodeManifest(config: BlobReference, layers: readonly BlobReference[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptorRecord(config),
      layers: layers.map(descriptorRecord),
    }),
  );
}

/** The bytes of an OCI image index; equal input gives equal bytes. */
export function encodeIndex(manifests: readonly Descriptor[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: manifests.map(descriptorRecord),
    }),
  );
}
