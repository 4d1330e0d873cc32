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
  /** Positions in `layers`; without `above`, the shadow over an uppermost layer. */
  readonly pairs: readonly { readonly above?: number; readonly below: number }[];
  /** The directory of the shadows that exist, by name. */
  readonly known: string;
  /** Where the others are built, each under its name; without it they are only named. */
  readonly staging?: string;
}

export interface ShadowsMade {
  /** The markers of each layer. */
  readonly marked: readonly (readonly MarkedDirectory[])[];
  /** For each pair the name of its shadow; `undefined` where none is needed. */
  readonly names: readonly (string | undefined)[];
  /** Those that were built. */
  readonly built: readonly string[];
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
  const built: string[] = [];
  let lostXattrs = 0;
  for (const { above, below } of job.pairs) {
    const directories = planShadow(above === undefined ? undefined : layers.at(above), layers.at(below));
    const name = directories.length === 0 ? undefined : shadowName(directories);
    names.push(name);
    if (name === undefined || job.staging === undefined) continue;
    if (built.includes(name) || existsSync(join(job.known, name))) continue;
    lostXattrs += buildShadow(directories, join(job.staging, name));
    built.push(name);
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
