/**
 * Small jobs in the calling thread. Starting a thread takes longer than most jobs of a command line, which has nothing else to do.
 *
 * Nobody can interrupt a thread that works, so only those jobs are done here that end soon, whatever the trees hold. Jobs that read
 * give up after a while and have changed nothing by then; of the others, those are taken whose size is known to be small.
 */
import { readdirSync, type Dirent } from 'node:fs';
import { fromSystemError } from '@layerstore/core';
import { hasErrno, removeTree, syncFileSystem } from '@layerstore/linux';
import type { AppliedLayer } from '../apply/apply-layer.js';
import type { ByteSource } from '../byte-source.js';
import { diffSize, findChanges } from '../diff/changes.js';
import type { ComparisonOptions } from '../diff/comparison.js';
import { joinPath } from '../tree/paths.js';
import type { Job, JobKind, JobResult } from './jobs.js';

/** How long reading may take, in milliseconds, before a thread does it. */
const READING_MS = 1000;
/** Of a diff that is kept in memory until it is unpacked. */
const DIFF_BYTES = 8 * 1024 * 1024;
/** Entries of a tree that is deleted. */
const TREE_ENTRIES = 500;

/**
 * Loads only what the job needs: for a command, that takes longer than the job.
 * @returns the result, or `undefined` when the job is one for a thread
 * @throws StoreError of the job
 */
export async function runBriefly<Kind extends JobKind>(
  job: Job<Kind>,
): Promise<{ readonly result: JobResult<Kind> } | undefined> {
  try {
    return (await runIfBrief(job as unknown as Job)) as { result: JobResult<Kind> } | undefined;
  } catch (error) {
    if (error instanceof TakesLong) return undefined;
    throw fromSystemError(error);
  }
}

async function runIfBrief(job: Job): Promise<{ readonly result: unknown } | undefined> {
  switch (job.kind) {
    case 'changes':
      return { result: [...findChanges(job.diff, notLong())] };
    case 'diff-size':
      return { result: diffSize(job.diff, { ...notLong(), ...(job.count === undefined ? {} : { count: job.count }) }) };
    case 'commit':
      return { result: await commit(job) };
    case 'settle': {
      // Links copy files of lower layers, of any size.
      if (job.deferred.links.length > 0) return undefined;
      const { settleDeferred } = await import('../apply/settle-deferred.js');
      settleDeferred(job.deferred, job.tree, job.lowers);
      return { result: undefined };
    }
    case 'remove-tree':
      if (!isSmallTree(job.path, TREE_ENTRIES)) return undefined;
      removeTree(job.path);
      return { result: undefined };
    case 'sync':
      syncFileSystem(job.path);
      return { result: undefined };
    default:
      return undefined;
  }
}

/** The diff is read before anything is made, so that giving up leaves an empty layer to the thread. */
async function commit({ diff, tree, tarSplitPath }: Job<'commit'>): Promise<AppliedLayer> {
  const [{ writeDiff }, { applyLayer }] = await Promise.all([
    import('../diff/write.js'),
    import('../apply/apply-layer.js'),
  ]);
  const tar = readWhole(writeDiff(diff, notLong()));
  return applyLayer(tar, { tree, ...(tarSplitPath === undefined ? {} : { tarSplitPath }) });
}

function readWhole(source: ByteSource): Buffer[] {
  const chunks: Buffer[] = [];
  let size = 0;
  for (const chunk of source) {
    size += chunk.length;
    if (size > DIFF_BYTES) throw new TakesLong();
    chunks.push(Buffer.from(chunk));
  }
  return chunks;
}

/** Whether a tree has at most `most` entries; an absent one has none. */
function isSmallTree(path: string, most: number): boolean {
  const waiting: Buffer[] = [Buffer.from(path)];
  let count = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const entry of entriesOf(next)) {
      count += 1;
      if (count > most) return false;
      if (entry.isDirectory()) waiting.push(joinPath(next, entry.name));
    }
  }
  return true;
}

function entriesOf(path: Buffer): Dirent<Buffer>[] {
  try {
    return readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

class TakesLong extends Error {}

/** Ends a comparison that takes long. */
function notLong(): ComparisonOptions {
  const deadline = performance.now() + READING_MS;
  return {
    onStep: () => {
      if (performance.now() > deadline) throw new TakesLong();
    },
  };
}
