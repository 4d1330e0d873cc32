import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TreeFiles } from '../tree/tree-files.js';
import { scanMarkers, type MarkedDirectory } from './markers.js';
import { buildShadow } from './shadow-build.js';
import { planShadow, shadowName, type Neighbour } from './shadow-plan.js';

/** An aufs layer whose shadows are wanted. */
export interface ShadedLayer {
  /** Absolute path of its directory. */
  readonly path: string;
  /** What {@link scanMarkers} finds in it, where that is known. */
  readonly marked?: readonly MarkedDirectory[];
}

export interface ShadowsJob {
  readonly layers: readonly ShadedLayer[];
  readonly pairs: readonly ShadowPair[];
  /** Where what is missing is built, as `0` for the first pair and so on; without it, shadows are only named. */
  readonly staging?: string;
}

export interface ShadowPair {
  /** Positions in `layers`; without `above`, the shadow over an uppermost layer. */
  readonly above?: number;
  readonly below: number;
  /** The directory where shadows of this pair lie, by name. */
  readonly known: string;
}

export interface ShadowsMade {
  /** The markers of each layer. */
  readonly marked: readonly (readonly MarkedDirectory[])[];
  /** For each pair the name of its shadow; `undefined` where none is needed. */
  readonly names: readonly (string | undefined)[];
  /** The pairs whose shadow was built. */
  readonly built: readonly number[];
  /** Extended attributes of directories that the file system of the shadows could not hold. */
  readonly lostXattrs: number;
}

/**
 * Names the shadows of a stack of aufs layers and builds those that are missing. Costs a listing of every directory of
 * the layers whose markers are not known, and a status call and an inode per directory of a shadow. Not synced.
 * @throws StoreError ERR_NO_SPACE, ERR_IO
 */
export function makeShadows(job: ShadowsJob): ShadowsMade {
  using layers = new Neighbours(job.layers);
  const names: (string | undefined)[] = [];
  const built: number[] = [];
  let lostXattrs = 0;
  for (const [index, { above, below, known }] of job.pairs.entries()) {
    const directories = planShadow(above === undefined ? undefined : layers.at(above), layers.at(below));
    const name = directories.length === 0 ? undefined : shadowName(directories);
    names.push(name);
    if (name === undefined || job.staging === undefined || existsSync(join(known, name))) continue;
    lostXattrs += buildShadow(directories, join(job.staging, String(index)));
    built.push(index);
  }
  return { marked: layers.markers(), names, built, lostXattrs };
}

/** Opened once, because a layer is in two pairs. */
class Neighbours implements Disposable {
  readonly #opened: Neighbour[] = [];

  constructor(layers: readonly ShadedLayer[]) {
    try {
      for (const { path, marked } of layers) {
        this.#opened.push({ files: new TreeFiles(path), marked: marked ?? scanMarkers(path) });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  at(index: number): Neighbour {
    const layer = this.#opened[index];
    if (layer === undefined) throw new RangeError(`there is no layer ${index}`);
    return layer;
  }

  markers(): (readonly MarkedDirectory[])[] {
    return this.#opened.map((layer) => layer.marked);
  }

  [Symbol.dispose](): void {
    for (const { files } of this.#opened) files[Symbol.dispose]();
  }
}
