/**
 * Small jobs in the calling thread. Starting a thread takes longer than most jobs of a command line, which has nothing else to do.
 *
 * Nobody can interrupt a thread that works, so only those jobs are done here that end soon, whatever the trees hold. Jobs that read
 * give up after a while and have changed nothing by then; of the others, those are taken whose size is known to be small.
 */
import { opendirSync, type Dir, type Dirent } from 'node:fs';
import { fromSystemError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import { applyLayer, type AppliedLayer } from '../apply/apply-layer.js';
import type { ByteSource } from '../byte-source.js';
import { writeDiff } from '../diff/write.js';
import { joinPath } from '../tree/paths.js';
import { JobControl, watch } from './job-control.js';
import type { Job, JobKind, JobResult } from './jobs.js';
import { runJob } from './run-job.js';

/** How long reading may take, in milliseconds, before a thread does it. */
const READING_MS = 400;
/** Of a diff that is kept in memory until it is unpacked. */
const DIFF_BYTES = 8 * 1024 * 1024;
/** Entries of a tree that is deleted. */
const TREE_ENTRIES = 500;

/** @returns the result, or `undefined` when the job is one for a thread. @throws StoreError of the job */
export function runBriefly<Kind extends JobKind>(job: Job<Kind>): { readonly result: JobResult<Kind> } | undefined {
  try {
    return runIfBrief(job as unknown as Job) as { result: JobResult<Kind> } | undefined;
  } catch (error) {
    if (error instanceof TakesLong) return undefined;
    throw fromSystemError(error);
  }
}

function runIfBrief(job: Job): { readonly result: unknown } | undefined {
  switch (job.kind) {
    case 'changes':
    case 'diff-size':
    case 'sync':
      return resultOf(job);
    case 'commit':
      return { result: commit(job) };
    case 'settle':
      // Links copy files of lower layers, of any size.
      return job.deferred.links.length > 0 ? undefined : resultOf(job);
    case 'remove-tree':
      return isSmallTree(job.path, TREE_ENTRIES) ? resultOf(job) : undefined;
    default:
      return undefined;
  }
}

function resultOf(job: Job): { readonly result: unknown } {
  const result: unknown = runJob(job, new BriefControl());
  return { result };
}

/** The diff is read before anything is made, so that giving up leaves an empty layer to the thread. */
function commit({ diff, tree, tarSplitPath }: Job<'commit'>): AppliedLayer {
  const control = new BriefControl();
  const tar = readWhole(writeDiff(diff, watch(control)));
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

function* entriesOf(path: Buffer): Iterable<Dirent<Buffer>> {
  let directory: Dir;
  try {
    // Names are bytes, which the types of Node do not know here.
    directory = opendirSync(path, { encoding: 'buffer' as BufferEncoding });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return;
    throw error;
  }
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      yield entry as unknown as Dirent<Buffer>;
    }
  } finally {
    directory.closeSync();
  }
}

class TakesLong extends Error {}

/** Nothing is reported and nobody cancels: the caller waits for this very thread. */
class BriefControl extends JobControl {
  readonly #deadline = performance.now() + READING_MS;

  constructor() {
    super(new Int32Array(new SharedArrayBuffer(4)), () => undefined);
  }

  override check(): void {
    if (performance.now() > this.#deadline) throw new TakesLong();
  }
}
