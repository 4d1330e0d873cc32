import { removeTree, syncFileSystem, treeUsage } from '@layerstore/linux';
import { applyLayer } from '../apply/apply-layer.js';
import { changeForm } from '../aufs/change-form.js';
import { makeShadows } from '../aufs/make-shadows.js';
import { planAufsForm } from '../aufs/plan-aufs-form.js';
import { planOverlayForm } from '../aufs/plan-overlay-form.js';
import { settleDeferred } from '../apply/settle-deferred.js';
import type { ByteSource } from '../byte-source.js';
import { compress } from '../compression/compress.js';
import { diffSize, findChanges } from '../diff/changes.js';
import type { ComparisonOptions } from '../diff/comparison.js';
import { writeDockerDiff } from '../diff/docker/write-docker-diff.js';
import { writeDiff, writeTree } from '../diff/write.js';
import type { DiffSource } from '../layer-tree.js';
import { copyTree } from '../tree/copy.js';
import { linkView } from '../tree/link-view.js';
import { runApply, runUnpack } from './apply-job.js';
import { runFeed, runFeedDiff } from './feed-job.js';
import { BlobReader, drain } from './blob-reader.js';
import { watch, type JobControl } from './job-control.js';
import type { Job, JobKind, JobResult, TarRules, WritePart, WriteTarget, WrittenBytes } from './jobs.js';
import { layerTar } from './layer-content.js';
import { Output } from './output.js';

type Runners = { readonly [Kind in JobKind]: (job: Job<Kind>, control: JobControl) => JobResult<Kind> };

const runners: Runners = {
  apply: runApply,
  feed: runFeed,
  'feed-diff': runFeedDiff,
  unpack: runUnpack,
  settle: ({ deferred, tree, lowers }) => {
    settleDeferred(deferred, tree, lowers);
    return undefined;
  },
  commit: ({ diff, tree, tarSplitPath }, control) =>
    applyLayer(writeDiff(diff, watch(control)), {
      tree,
      onBytes: (count) => control.advance(count),
      ...(tarSplitPath === undefined ? {} : { tarSplitPath }),
    }),
  diff: ({ diff, to, tarRules }, control) => write(to, control, diffBy(tarRules, diff, watch(control))),
  changes: ({ diff }, control) => [...findChanges(diff, watch(control))],
  'diff-size': ({ diff, count }, control) =>
    diffSize(diff, { ...watch(control), ...(count === undefined ? {} : { count }) }),
  write: ({ to, parts }, control) => write(to, control, ...parts.map((part) => contentOf(part, control))),
  compress: ({ layer, to, compression, level }, control) => {
    // Progress counts what is read: how much will be written is not known.
    using output = new Output({ path: to }, control.silent());
    output.writeAll(compress(measured(layerTar(layer), control), compression, level));
    return output.result();
  },
  verify: (layer, control) => {
    for (const chunk of layerTar(layer)) control.advance(chunk.length);
    return undefined;
  },
  export: ({ path, to }, control) => write(to, control, writeTree(path, watch(control))),
  'copy-tree': ({ from, to, label }) => {
    copyTree(from, to, label === undefined ? {} : { label });
    return undefined;
  },
  'link-view': ({ trees, to }) => {
    linkView(trees, to);
    return undefined;
  },
  'remove-tree': ({ path }) => {
    removeTree(path);
    return undefined;
  },
  'aufs-shadows': (job) => makeShadows(job),
  'plan-overlay-form': ({ path, lowers, marks }) => planOverlayForm(path, lowers, marks),
  'plan-aufs-form': ({ path, parked, marks }) => planAufsForm(path, parked, marks),
  'change-form': ({ change, path, parking }) => {
    changeForm(change, path, parking);
    return undefined;
  },
  'tree-usage': ({ path }) => treeUsage(path),
  hash: ({ source }, control) => {
    using blob = new BlobReader(source, control);
    drain(blob);
    return { digest: blob.digest(), size: blob.size };
  },
  sync: ({ path }) => {
    syncFileSystem(path);
    return undefined;
  },
};

/** Runs one job to its end in this thread. @throws StoreError of the job; ERR_ABORTED */
export function runJob<Kind extends JobKind>(job: Job<Kind>, control: JobControl): JobResult<Kind> {
  control.check();
  const run = runners[job.kind] as (job: Job<Kind>, control: JobControl) => JobResult<Kind>;
  const result = run(job, control);
  control.finish();
  return result;
}

function diffBy(rules: TarRules | undefined, diff: DiffSource, options: ComparisonOptions): ByteSource {
  if (rules === undefined || rules === 'layerstore') return writeDiff(diff, options);
  return writeDockerDiff(diff, rules === 'docker' ? {} : rules);
}

function write(to: WriteTarget, control: JobControl, ...sources: ByteSource[]): WrittenBytes {
  using output = new Output(to, control);
  for (const source of sources) output.writeAll(source);
  return output.result();
}

function* contentOf(part: WritePart, control: JobControl): ByteSource {
  switch (part.kind) {
    case 'bytes':
      yield Buffer.from(part.data.buffer, part.data.byteOffset, part.data.byteLength);
      return;
    case 'file': {
      using blob = new BlobReader(part, control.silent());
      yield* blob;
      return;
    }
    case 'layer':
      yield* layerTar(part);
  }
}

function* measured(source: ByteSource, control: JobControl): ByteSource {
  for (const chunk of source) {
    control.advance(chunk.length);
    yield chunk;
  }
}
