import type { IdMaps } from '@layerstore/core';

/**
 * A directory that holds one layer, and how deletions are written in it.
 *
 * - `overlay`: changes only; a whiteout is a character device 0:0, an opaque directory carries `*.overlay.opaque=y`
 *   (kernel Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
 * - `aufs`: changes only; a whiteout is a file `.wh.NAME`, an opaque directory holds `.wh..wh..opq`.
 * - `complete`: the whole tree, lower content included; nothing is marked, what is deleted is not there.
 */
export interface LayerTree {
  /** Absolute path of the directory. */
  readonly path: string;
  readonly dialect: Dialect;
  /** The owners in the directory are the host's; archives hold those inside the container. */
  readonly idMaps?: IdMaps;
  /**
   * Absolute path of a file in an existing directory, for the `aufs` dialect: when an archive has been applied, it holds the
   * layer's markers, so that nobody needs to look for them.
   */
  readonly markerList?: string;
}

export type Dialect = 'overlay' | 'aufs' | 'complete';

/** A layer and what lies under it: the input of changes, diffs and sizes. A plain record, fit for workers. */
export interface DiffSource {
  readonly upper: LayerTree;
  /** Uppermost first; empty for a base layer. One `complete` tree where `upper` is complete. */
  readonly lowers: readonly LayerTree[];
}
