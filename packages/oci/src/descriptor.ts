import { StoreError, parseDigest, type Digest } from '@layerstore/core';
import * as v from 'valibot';
import { absentOr } from './document.js';
import { normalisePlatform, type Platform } from './platform.js';

/** A reference from one document of an image to a blob (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  /** Where else the blob may be had, for layers that registries do not hold themselves. */
  readonly urls?: readonly string[];
}

export const annotationsSchema = absentOr(v.record(v.string(), v.string()));

const platformSchema = v.object({
  os: v.string(),
  architecture: v.string(),
  variant: absentOr(v.string()),
  'os.version': absentOr(v.string()),
});

export const descriptorSchema = v.object({
  mediaType: v.string(),
  digest: v.string(),
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  platform: absentOr(platformSchema),
  annotations: annotationsSchema,
  artifactType: absentOr(v.string()),
  urls: absentOr(v.array(v.string())),
});

/**
 * Completes the check of a descriptor whose shape is right.
 * @param subject the document and field that hold it
 * @throws StoreError ERR_MALFORMED_IMAGE for what is no digest; ERR_UNSUPPORTED_FORMAT for one that is not sha256
 */
export function toDescriptor(shape: v.InferOutput<typeof descriptorSchema>, subject: string): Descriptor {
  const { platform, artifactType, urls = [] } = shape;
  return {
    mediaType: shape.mediaType,
    digest: parseBlobDigest(shape.digest, `${subject}.digest`),
    size: shape.size,
    annotations: shape.annotations ?? {},
    ...(platform === undefined
      ? {}
      : { platform: normalisePlatform({ ...platform, osVersion: platform['os.version'] }) }),
    ...(artifactType === undefined || artifactType === '' ? {} : { artifactType }),
    ...(urls.length === 0 ? {} : { urls }),
  };
}

function parseBlobDigest(text: string, subject: string): Digest {
  if (/^(sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}|blake3:[0-9a-f]{64})$/.test(text)) {
    throw new StoreError('ERR_UNSUPPORTED_FORMAT', `${text.slice(0, 20)}... is not a sha256 digest`, {
      subject,
      hint: 'layerstore names blobs by sha256 only, as the engines do',
    });
  }
  return parseDigest(text, subject);
}

/** The three fields by which any blob is referred to. */
export type BlobReference = Pick<Descriptor, 'mediaType' | 'digest' | 'size'>;

/** The record of a descriptor as it is written; the order of fields is fixed, so equal input gives equal bytes. */
export function descriptorRecord(descriptor: BlobReference & Partial<Descriptor>): Record<string, unknown> {
  const { mediaType, digest, size, urls = [], platform, annotations = {} } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls.length === 0 ? {} : { urls }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform: platformRecord(platform) }),
  };
}

function platformRecord(platform: Platform): Record<string, string> {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.osVersion === undefined ? {} : { 'os.version': platform.osVersion }),
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
  };
}
