/**
 * What the archive threads can be asked to do: plain records in, plain records out.
 *
 * Paths are absolute. A `fd` is a descriptor of this process: threads share the table.
 */
import type { DiffId, Digest } from '@layerstore/core';
import type { TreeUsage } from '@layerstore/linux';
import type { AppliedLayer } from '../apply/apply-layer.js';
import type { DeferredWork } from '../apply/layer-writer.js';
import type { FormChange, OverlayMarkFamily, ParkedRecord } from '../aufs/form-change.js';
import type { ShadowsJob, ShadowsMade } from '../aufs/make-shadows.js';
import type { ApplyLimits } from '../apply/limits.js';
import type { Compression } from '../compression/detect.js';
import type { Change, SizeCount } from '../diff/changes.js';
import type { DockerDiffOptions } from '../diff/docker/write-docker-diff.js';
import type { DiffSource, LayerTree } from '../layer-tree.js';

/**
 * A run of bytes in a file, to the end where `length` is absent; a file that is still being written (`growth`, the memory of a
 * FileGrowth); or a stream from a descriptor's position on.
 */
export type BlobSource =
  | { readonly path: string; readonly offset?: number; readonly length?: number }
  | { readonly path: string; readonly growth: SharedArrayBuffer }
  | { readonly fd: number };

/** A file that is made or overwritten, or an open descriptor. */
export type WriteTarget = { readonly path: string } | { readonly fd: number };

/** What a blob and the tar in it must be; what is absent is not checked. */
export interface Expectation {
  /** Of the blob as stored. */
  readonly digest?: Digest;
  readonly size?: number;
  readonly diffId?: DiffId;
}

/** `layerstore`: {@link writeDiff}. `docker`: {@link writeDockerDiff}, where its options are explained. */
export type TarRules = 'layerstore' | 'docker' | ({ readonly rules: 'docker' } & DockerDiffOptions);

/** A layer in its directory, and what turns it back into its tar. */
export interface StoredLayer {
  readonly tarSplitPath: string;
  readonly tree: LayerTree;
  readonly diffId: DiffId;
  /** Bytes of the tar. */
  readonly size: number;
}

/** A piece of an archive that is written. */
export type WritePart =
  | { readonly kind: 'bytes'; readonly data: Uint8Array }
  | { readonly kind: 'file'; readonly path: string; readonly offset?: number; readonly length?: number }
  | ({ readonly kind: 'layer' } & StoredLayer);

export interface AppliedBlob extends AppliedLayer {
  readonly blobDigest: Digest;
  readonly blobSize: number;
}

export interface FedBlob {
  /** Absent for a plain tar of which no digest was announced: there it is the diff ID. */
  readonly blobDigest?: Digest;
  readonly blobSize: number;
}

export interface WrittenBytes {
  readonly digest: Digest;
  readonly size: number;
}

/** Each job and its result. */
export interface Jobs {
  /** Verifies, decompresses and unpacks a layer's blob. */
  apply: {
    job: {
      source: BlobSource;
      compression: Compression | 'auto';
      tree: LayerTree;
      expect?: Expectation;
      tarSplitPath?: string;
      limits?: Partial<ApplyLimits>;
    };
    result: AppliedBlob;
  };
  /** The first half of an apply in two threads; {@link ArchiveWorkers} makes it of an `apply`. */
  feed: {
    job: {
      source: BlobSource;
      compression: Compression | 'auto';
      expect?: Expectation;
      limits?: Partial<ApplyLimits>;
      ring: SharedArrayBuffer;
    };
    result: FedBlob;
  };
  /** The first half of a commit in two threads; {@link ArchiveWorkers} makes it of a `commit`. */
  'feed-diff': { job: { diff: DiffSource; ring: SharedArrayBuffer }; result: undefined };
  /** The second half of either. */
  unpack: {
    job: { tree: LayerTree; tarSplitPath?: string; limits?: Partial<ApplyLimits>; ring: SharedArrayBuffer };
    result: AppliedLayer;
  };
  /** Completes an applied layer over complete lowers. */
  settle: { job: { deferred: DeferredWork; tree: LayerTree; lowers: readonly LayerTree[] }; result: undefined };
  /** Writes a layer's differences and unpacks them as a new layer, in one pass. */
  commit: { job: { diff: DiffSource; tree: LayerTree; tarSplitPath?: string }; result: AppliedLayer };
  /** Writes a layer's differences as a tar: with all that layers can hold, or with the bytes that dockerd would write. */
  diff: { job: { diff: DiffSource; to: WriteTarget; tarRules?: TarRules }; result: WrittenBytes };
  changes: { job: { diff: DiffSource }; result: Change[] };
  'diff-size': { job: { diff: DiffSource; count?: SizeCount }; result: number };
  /** Writes parts one after the other; layers bit for bit, checked against their diff IDs. */
  write: { job: { to: WriteTarget; parts: readonly WritePart[] }; result: WrittenBytes };
  /** Writes a layer's tar compressed. */
  compress: {
    job: { layer: StoredLayer; to: string; compression: 'gzip' | 'zstd'; level?: number };
    result: WrittenBytes;
  };
  /** Reads a layer back and compares its diff ID. */
  verify: { job: StoredLayer; result: undefined };
  /** Writes a whole tree as a tar. */
  export: { job: { path: string; to: WriteTarget }; result: WrittenBytes };
  /** Copies a tree; with a label, for SELinux, every copy gets it. */
  'copy-tree': { job: { from: string; to: string; label?: string }; result: undefined };
  /** Makes the complete tree that layers show, uppermost first, of hard links to their files. */
  'link-view': { job: { trees: readonly LayerTree[]; to: string }; result: undefined };
  'remove-tree': { job: { path: string }; result: undefined };
  /** Names the shadows of a stack of aufs layers and builds those that are missing. */
  'aufs-shadows': { job: ShadowsJob; result: ShadowsMade };
  /** What turns a layer in aufs form into the upper of an overlay over `lowers`. */
  'plan-overlay-form': {
    job: { path: string; lowers: readonly LayerTree[]; marks: OverlayMarkFamily };
    result: FormChange;
  };
  /** What turns it back. */
  'plan-aufs-form': { job: { path: string; parked: ParkedRecord; marks: OverlayMarkFamily }; result: FormChange };
  /** Performs the one or the other. */
  'change-form': { job: { change: FormChange; path: string; parking: string }; result: undefined };
  /** What a tree takes on its file system. */
  'tree-usage': { job: { path: string }; result: TreeUsage };
  hash: { job: { source: BlobSource }; result: WrittenBytes };
  /** Writes the file system that holds `path` to disk. */
  sync: { job: { path: string }; result: undefined };
}

export type JobKind = keyof Jobs;
export type Job<Kind extends JobKind = JobKind> = {
  [K in Kind]: { readonly kind: K } & Readonly<Jobs[K]['job']>;
}[Kind];
export type JobResult<Kind extends JobKind> = Jobs[Kind]['result'];
