import { StoreError, type Digest, type ErrorCode } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';
import { drain, type BlobReader } from './blob-reader.js';
import type { Expectation } from './jobs.js';

/** Faults that damage on the way can cause: with them the digest has the first word. */
const mayBeDamage: ReadonlySet<ErrorCode> = new Set([
  'ERR_MALFORMED_ARCHIVE',
  'ERR_TRUNCATED',
  'ERR_ARCHIVE_ESCAPE',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_FORMAT',
]);

/**
 * Reads the rest of a blob that could not be used, and throws what is wrong with the blob itself, if anything is. @param rest what was
 * read of it and not used yet
 * @throws StoreError ERR_SIZE_MISMATCH, ERR_DIGEST_MISMATCH
 */
export function blameDamage(error: unknown, blob: BlobReader, rest: ByteSource, expect: Expectation | undefined): void {
  if (expect === undefined || !StoreError.is(error) || !mayBeDamage.has(error.code)) return;
  drain(rest);
  drain(blob);
  blob.checkSize();
  if (expect.digest !== undefined) checkDigest(blob.digest(), expect, error);
}

/** @throws StoreError ERR_DIGEST_MISMATCH */
export function checkDigest(digest: Digest, expect: Expectation | undefined, cause?: unknown): void {
  if (expect?.digest === undefined || expect.digest === digest) return;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the layer has the digest ${digest}`, {
    subject: expect.digest,
    hint: 'fetch or copy the archive again',
    cause,
  });
}

/** @throws StoreError ERR_DIGEST_MISMATCH */
export function checkDiffId(diffId: Digest, expect: Expectation | undefined): void {
  if (expect?.diffId === undefined || expect.diffId === diffId) return;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the layer unpacks to the diff ID ${diffId}`, {
    subject: expect.diffId,
    hint: 'config and layers do not belong together: get the image again from its source',
  });
}
