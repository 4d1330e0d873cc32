import type { IdMaps, Owner } from '@layerstore/core';

/**
 * How to make a layer visible: what a driver describes and the mounter performs.
 *
 * A plan is a plain record. It can be asserted without root, sent to a worker, or handed to containerd.
 */
export type MountPlan = DirectoryPlan | BindPlan | UnionPlan;

/** Several directories joined to one view. */
export type UnionPlan = OverlayPlan | AufsPlan;

/** The layer is a complete directory: nothing is mounted. */
export interface DirectoryPlan {
  readonly kind: 'directory';
  readonly path: string;
}

/** One directory shown elsewhere, for example a single lower without an upper. */
export interface BindPlan {
  readonly kind: 'bind';
  readonly source: string;
  readonly readOnly: boolean;
  /** The directory is shown with mapped owners, by an id-mapped mount. */
  readonly idMaps?: IdMaps;
}

export interface OverlayUpper {
  readonly path: string;
  readonly work: string;
  /**
   * Whom the directory `work/work` shall belong to, which the kernel makes anew at every mount and through which it moves
   * files: the root of the container. Default the mounting process's owner.
   */
  readonly owner?: Owner;
}

/** A kernel overlay. */
export interface OverlayPlan {
  readonly kind: 'overlay';
  /** Absolute paths, uppermost first; at least two, or one with an upper. */
  readonly lowers: readonly string[];
  /** Absent for a read-only view. */
  readonly upper?: OverlayUpper;
  /** Further options, `key` or `key=value`, in kernel spelling. */
  readonly options: readonly string[];
  /**
   * A directory with a short name for every lower, for mount(2), whose option string is cut at one page: `lowers` in
   * the same order, relative to `base`.
   */
  readonly short?: { readonly base: string; readonly lowers: readonly string[] };
  /**
   * `fuse-overlayfs` where the kernel cannot do it: the view is made by that program. `none` where only the kernel does it
   * rightly: to the program, a whiteout below a directory deletes the directory, to the kernel it ends the merge.
   */
  readonly program?: 'fuse-overlayfs' | 'none';
  /** The lowers are shown with mapped owners, by id-mapped mounts of them. */
  readonly idMaps?: IdMaps;
  /** How many of the uppermost lowers are shown with the owners that they have, whatever `idMaps` says. Default 0. */
  readonly unmappedLowers?: number;
}

/** The kernel's own aufs, where it has one. */
export interface AufsPlan {
  readonly kind: 'aufs';
  /** Absolute paths, uppermost first; 127 at most. */
  readonly branches: readonly string[];
  /** The first branch takes the writes; otherwise nothing is written into any. */
  readonly writable: boolean;
  /** Further options in kernel spelling: `dirperm1`, a label. */
  readonly options: readonly string[];
}
