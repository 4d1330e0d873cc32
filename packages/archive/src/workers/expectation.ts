import { StoreError, type Digest, type ErrorCode } from '@layerstore/core';
import type { Expectation } from './jobs.js';

/** Faults that damage on the way can cause: with them the digest has the first word. */
export const mayBeDamage: ReadonlySet<ErrorCode> = new Set([
  'ERR_MALFORMED_ARCHIVE',
  'ERR_TRUNCATED',
  'ERR_ARCHIVE_ESCAPE',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_FORMAT',
]);

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
