import { applyLayer, type AppliedLayer } from '../apply/apply-layer.js';
import { resolveApplyLimits } from '../apply/limits.js';
import { decompress } from '../compression/decompress.js';
import { detectCompression, peek } from '../compression/detect.js';
import { BlobReader, drain } from './blob-reader.js';
import { RingReader } from './byte-ring.js';
import { blameDamage, checkDiffId, checkDigest } from './expectation.js';
import type { JobControl } from './job-control.js';
import type { AppliedBlob, Job } from './jobs.js';

/**
 * Verifies, decompresses and unpacks a blob in one pass.
 *
 * Which error wins: a wrong size, then a wrong digest of the blob, then what is wrong inside, then a wrong diff ID. A
 * blob that cannot be unpacked is therefore read to its end, to know whether it was damaged on its way.
 */
export function runApply(job: Job<'apply'>, control: JobControl): AppliedBlob {
  using blob = new BlobReader(job.source, control, job.expect?.size);
  const { applied, plain } = unpack(job, blob, control);
  drain(blob);
  // The tar of a plain blob is the blob: it was hashed once, as the diff ID.
  const blobDigest = plain ? applied.diffId : blob.digest();
  blob.checkSize();
  checkDigest(blobDigest, job.expect);
  checkDiffId(applied.diffId, job.expect);
  return { ...applied, blobDigest, blobSize: blob.size };
}

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
    blameDamage(error, blob, source, job.expect);
    throw error;
  }
}

/** The second half of an apply in two threads: unpacks what the first puts into the ring. */
export function runUnpack(job: Job<'unpack'>, control: JobControl): AppliedLayer {
  using ring = new RingReader(job.ring, control);
  return applyLayer(ring.chunks(), {
    tree: job.tree,
    limits: resolveApplyLimits(job.limits),
    onBytes: () => control.check(),
    ...(job.tarSplitPath === undefined ? {} : { tarSplitPath: job.tarSplitPath }),
  });
}
