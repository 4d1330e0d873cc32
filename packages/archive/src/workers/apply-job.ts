import { StoreError, type Digest, type ErrorCode } from '@layerstore/core';
import { applyLayer, type AppliedLayer } from '../apply/apply-layer.js';
import { resolveApplyLimits } from '../apply/limits.js';
import { decompress } from '../compression/decompress.js';
import { detectCompression, peek } from '../compression/detect.js';
import { BlobReader, drain } from './blob-reader.js';
import type { JobControl } from './job-control.js';
import type { AppliedBlob, Expectation, Job } from './jobs.js';

/**
 * Verifies, decompresses and unpacks a blob in one pass.
 *
 * Which error wins: a wrong size, then a wrong digest of the blob, then what is wrong inside, then a wrong diff ID. A
 * blob that cannot be unpacked is therefore read to its end, to know whether it was damaged on its way.
 */
export function runApply(job: Job<'apply'>, control: JobControl): AppliedBlob {
  using blob = new BlobReader(job.source, control);
  const { applied, plain } = unpack(job, blob, control);
  drain(blob);
  // The tar of a plain blob is the blob: it was hashed once, as the diff ID.
  const blobDigest = plain ? applied.diffId : blob.digest();
  checkBlob(blob.size, blobDigest, job.expect);
  checkDiffId(applied.diffId, job.expect);
  return { ...applied, blobDigest, blobSize: blob.size };
}

/** Faults that damage on the way can cause. */
const mayBeDamage: ReadonlySet<ErrorCode> = new Set([
  'ERR_MALFORMED_ARCHIVE',
  'ERR_TRUNCATED',
  'ERR_ARCHIVE_ESCAPE',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_FORMAT',
]);

function unpack(job: Job<'apply'>, blob: BlobReader, control: JobControl): { applied: AppliedLayer; plain: boolean } {
  const limits = resolveApplyLimits(job.limits);
  const { head, source } = peek(blob);
  try {
    const compression = job.compression === 'auto' ? detectCompression(head) : job.compression;
    const plain = compression === 'none';
    if (plain && job.expect?.digest === undefined) blob.stopHashing();
    const applied = applyLayer(decompress(source, compression, { limits }), {
      tree: job.tree,
      limits,
      onBytes: () => control.check(),
      ...(job.tarSplitPath === undefined ? {} : { tarSplitPath: job.tarSplitPath }),
    });
    return { applied, plain };
  } catch (error) {
    if (job.expect?.digest !== undefined && StoreError.is(error) && mayBeDamage.has(error.code)) {
      drain(source);
      drain(blob);
      checkBlob(blob.size, blob.digest(), job.expect, error);
    }
    throw error;
  }
}

function checkBlob(size: number, digest: Digest, expect: Expectation | undefined, cause?: unknown): void {
  if (expect?.size !== undefined && expect.size !== size) {
    throw new StoreError('ERR_SIZE_MISMATCH', `the layer has ${size} bytes, ${expect.size} were announced`, {
      subject: expect.digest ?? expect.diffId ?? 'layer',
      hint: 'fetch or copy the archive again',
      cause,
    });
  }
  if (expect?.digest !== undefined && expect.digest !== digest) {
    throw new StoreError('ERR_DIGEST_MISMATCH', `the layer has the digest ${digest}`, {
      subject: expect.digest,
      hint: 'fetch or copy the archive again',
      cause,
    });
  }
}

function checkDiffId(diffId: Digest, expect: Expectation | undefined): void {
  if (expect?.diffId === undefined || expect.diffId === diffId) return;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the layer unpacks to the diff ID ${diffId}`, {
    subject: expect.diffId,
    hint: 'config and layers do not belong together: get the image again from its source',
  });
}
