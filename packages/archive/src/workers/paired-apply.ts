/**
 * An apply in two threads: one reads, verifies and decompresses, the other unpacks. For a single large layer that is a third faster;
 * several layers use the threads better one each.
 */
import type { AppliedLayer } from '../apply/apply-layer.js';
import { abandonRing, makeRing } from './byte-ring.js';
import { checkDiffId } from './expectation.js';
import type { AppliedBlob, FedBlob, Job } from './jobs.js';

export async function applyInPair(
  job: Job<'apply'>,
  feed: (job: Job<'feed'>) => Promise<FedBlob>,
  unpack: (job: Job<'unpack'>) => Promise<AppliedLayer>,
): Promise<AppliedBlob> {
  const ring = makeRing();
  const { source, compression, expect, limits, tree, tarSplitPath } = job;
  const bounds = limits === undefined ? {} : { limits };
  const [fed, unpacked] = await Promise.allSettled([
    feed({ kind: 'feed', ring, source, compression, ...(expect === undefined ? {} : { expect }), ...bounds }).catch(
      (error: unknown) => {
        abandonRing(ring, 'writer');
        throw error;
      },
    ),
    unpack({ kind: 'unpack', ring, tree, ...(tarSplitPath === undefined ? {} : { tarSplitPath }), ...bounds }).finally(
      () => abandonRing(ring, 'reader'),
    ),
  ]);
  // A damaged blob is the cause of whatever the other half stumbled over.
  if (fed.status === 'rejected') throw fed.reason;
  if (unpacked.status === 'rejected') throw unpacked.reason;
  checkDiffId(unpacked.value.diffId, expect);
  return { ...unpacked.value, blobDigest: fed.value.blobDigest ?? unpacked.value.diffId, blobSize: fed.value.blobSize };
}
