import { digestOf, StoreError, type Digest } from '@layerstore/core';
import type { BlobReference } from './descriptor.js';
import { DOCUMENT_LIMIT } from './document.js';
import type { FileRange } from './image-source.js';
import { findMember, readRange, type Members } from './members.js';

/** Content by digest: the one question that a layout answers in its own way. The rest of this file follows from it. */
export interface Blobs {
  readonly subject: string;
  /** undefined when the blob is not there. */
  locate(digest: Digest): Promise<FileRange | undefined>;
}

/** Blobs that are members named after their digest: `blobs/sha256/<hex>`, or `<hex>` in skopeo's directories. */
export function blobsAmong(members: Members, nameOf: (digest: Digest) => string): Blobs {
  return { subject: members.subject, locate: (digest) => findMember(members, nameOf(digest)) };
}

/**
 * Finds a blob and compares its size; its bytes are not read.
 * @throws StoreError ERR_MALFORMED_IMAGE when it is missing; ERR_SIZE_MISMATCH
 */
export async function findBlob(blobs: Blobs, reference: BlobReference, what: string): Promise<FileRange> {
  const subject = `${blobs.subject}: ${what} ${reference.digest}`;
  const range = await blobs.locate(reference.digest);
  if (range === undefined) throw new StoreError('ERR_MALFORMED_IMAGE', 'the blob is missing', { subject });
  if (range.length !== reference.size) {
    throw new StoreError('ERR_SIZE_MISMATCH', `${range.length} bytes, ${reference.size} are stated`, { subject });
  }
  return range;
}

/**
 * Reads a manifest, index or config and verifies it.
 * @throws StoreError as {@link findBlob}; ERR_DIGEST_MISMATCH; ERR_LIMIT_EXCEEDED above DOCUMENT_LIMIT
 */
export async function readBlob(blobs: Blobs, reference: BlobReference, what: string): Promise<Buffer> {
  const subject = `${blobs.subject}: ${what} ${reference.digest}`;
  // A stated size above the limit is refused before the blob is looked for, so that it can be told apart from a wrong one.
  if (reference.size > DOCUMENT_LIMIT) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `${reference.size} bytes, the limit is ${DOCUMENT_LIMIT}`, { subject });
  }
  const bytes = await readRange(await findBlob(blobs, reference, what), subject);
  verifyDigest(bytes, reference.digest, subject);
  return bytes;
}

/** @throws StoreError ERR_DIGEST_MISMATCH */
export function verifyDigest(bytes: Buffer, expected: Digest, subject: string): void {
  const found = digestOf(bytes);
  if (found === expected) return;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the content has the digest ${found}, ${expected} is stated`, {
    subject,
  });
}
