import { resolveApplyLimits } from '../apply/limits.js';
import { decompress } from '../compression/decompress.js';
import { detectCompression, peek } from '../compression/detect.js';
import { writeDiff } from '../diff/write.js';
import { BlobReader, drain } from './blob-reader.js';
import { blameDamage, checkDigest } from './expectation.js';
import { RingWriter, SLOT_SIZE } from './byte-ring.js';
import { watch, type JobControl } from './job-control.js';
import type { FedBlob, Job } from './jobs.js';

/**
 * The first half of an apply in two threads: reads, verifies and decompresses a blob into a ring.
 *
 * It is the half that judges the blob, so it reads to the end whatever the other half does: only then is it known whether the blob is the
 * one that was announced.
 */
export function runFeed(job: Job<'feed'>, control: JobControl): FedBlob {
  using blob = new BlobReader(job.source, control, job.expect?.size);
  const ring = new RingWriter(job.ring, control);
  const { head, source } = peek(blob);
  let plain = false;
  try {
    const compression = job.compression === 'auto' ? detectCompression(head) : job.compression;
    plain = compression === 'none';
    if (plain && job.expect?.digest === undefined) blob.stopHashing();
    for (const chunk of decompress(source, compression, { limits: resolveApplyLimits(job.limits) })) {
      if (!ring.put(chunk)) break;
    }
    ring.end();
  } catch (error) {
    ring.fail();
    blameDamage(error, blob, source, job.expect);
    throw error;
  }
  drain(blob);
  blob.checkSize();
  // The tar of a plain blob is the blob: it is hashed once, by the other half, unless it has to be known here.
  const hashed = !plain || job.expect?.digest !== undefined;
  const digest = hashed ? blob.digest() : undefined;
  if (digest !== undefined) checkDigest(digest, job.expect);
  return { ...(digest === undefined ? {} : { blobDigest: digest }), blobSize: blob.size };
}

/** The first half of a commit in two threads: writes what a layer changes into a ring. */
export function runFeedDiff({ diff, ring: memory }: Job<'feed-diff'>, control: JobControl): undefined {
  const ring = new RingWriter(memory, control);
  try {
    for (const chunk of writeDiff(diff, { ...watch(control), chunkBytes: SLOT_SIZE })) {
      control.advance(chunk.length);
      if (!ring.put(chunk)) break;
    }
    ring.end();
  } catch (error) {
    ring.fail();
    throw error;
  }
  return undefined;
}
