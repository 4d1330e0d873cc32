import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import {
  layerIdentity,
  readMarkerList,
  writeMarkerList,
  type ShadedLayer,
  type ShadowPair,
  type ShadowsJob,
  type ShadowsMade,
} from '@layerstore/archive';
import { hasErrno } from '@layerstore/linux';
import { readShadowNote, writeShadowNote, type ShadowNote } from './shadow-note.js';
import type { ShadowParts } from './shadows.js';

/** A layer of a stack. */
export interface StackLayer {
  /** Absolute path of its directory. */
  readonly path: string;
  /** Absolute path of the directory for its notes and shadows, made when there are some. */
  readonly notes: string;
  /** Tells whether its content is what it was when something was noted; default: what its root directory tells. */
  readonly identity?: string;
  /** In overlay form nothing in it needs to be hidden. */
  readonly form: 'aufs' | 'overlay';
  /** Nobody writes into it any more: what was noted about it holds. */
  readonly settled: boolean;
}

interface StackParts extends ShadowParts {
  /** Notes that were read or written before, by their directory: what one says of a state of the layers stays true. */
  readonly known: Map<string, ShadowNote>;
}

/** A place for a shadow: above the uppermost layer, or between a layer and the next. */
interface Joint {
  readonly kind: 'above' | 'below';
  /** Position of the layer that it belongs to. */
  readonly at: number;
}

/** One stack of layers and the shadows between them. */
export class ShadowStack {
  readonly #notes: (ShadowNote | undefined)[];
  readonly #identities: readonly string[];
  /** Names by joint; `undefined` where no shadow is needed. */
  readonly #names = new Map<string, string | undefined>();

  constructor(
    private readonly layers: readonly StackLayer[],
    private readonly parts: StackParts,
  ) {
    this.#identities = layers.map((layer) => layer.identity ?? layerIdentity(layer.path));
    this.#notes = layers.map((layer, at) => (layer.settled ? this.#noteOf(layer, at) : undefined));
  }

  /** The directories of all layers with their shadows, uppermost first. */
  async directories(shadows: 'named' | 'made'): Promise<string[]> {
    const missing = this.#joints().filter((joint) => !this.#recall(joint));
    if (missing.length > 0) await this.#find(missing, shadows);
    return this.layers.flatMap((layer, at) => [
      ...(at === 0 ? this.#directoryAt({ kind: 'above', at }) : []),
      layer.path,
      ...this.#directoryAt({ kind: 'below', at }),
    ]);
  }

  #joints(): Joint[] {
    const between = this.layers.slice(1).map((_, at): Joint => ({ kind: 'below', at }));
    return this.layers.length === 0 ? [] : [{ kind: 'above', at: 0 }, ...between];
  }

  #directoryAt(joint: Joint): string[] {
    const layer = this.layers[joint.at];
    const name = this.#names.get(keyOf(joint));
    return layer === undefined || name === undefined ? [] : [join(layer.notes, name)];
  }

  /** What the note says about a joint, if the note holds and the shadow is there. */
  #recall(joint: Joint): boolean {
    const note = this.#notes[joint.at];
    const layer = this.layers[joint.at];
    if (note === undefined || layer === undefined) return false;
    let name = note.above;
    if (joint.kind === 'below') {
      name = note.below?.identity === this.#identities[joint.at + 1] ? note.below?.name : undefined;
    }
    if (name === undefined) return false;
    if (name !== null && !existsSync(join(layer.notes, name))) return false;
    this.#names.set(keyOf(joint), name ?? undefined);
    return true;
  }

  async #find(joints: readonly Joint[], shadows: 'named' | 'made'): Promise<void> {
    const involved = [...new Set(joints.flatMap(({ kind, at }) => (kind === 'above' ? [at] : [at, at + 1])))];
    const job = {
      layers: involved.map((at) => this.#shaded(at)),
      pairs: joints.map((joint) => this.#pair(joint, involved)),
    };
    const { names, marked } = await this.parts.work.shadows(job);
    for (const [index, joint] of joints.entries()) this.#names.set(keyOf(joint), names[index]);
    if (shadows === 'named') return;
    if (joints.some((joint) => this.#isMissing(joint)))
      await this.#build(joints, { ...job, layers: known(job, marked) });
    this.#noteFound(joints, involved, marked);
  }

  #isMissing(joint: Joint): boolean {
    return this.#directoryAt(joint).some((directory) => !existsSync(directory));
  }

  async #build(joints: readonly Joint[], job: ShadowsJob): Promise<void> {
    const { home, work, logger } = this.parts;
    await using staged = await home.staging.enter();
    const { names, built, lostXattrs } = await work.shadows({ ...job, staging: staged.path });
    await home.trees.sync(staged.path);
    if (lostXattrs > 0) {
      logger?.warn({ home: home.path, count: lostXattrs }, 'directories of a view lack extended attributes');
    }
    for (const [index, joint] of joints.entries()) {
      const name = names[index];
      this.#names.set(keyOf(joint), name);
      if (name !== undefined && built.includes(index)) this.#publish(staged.entry(String(index)), joint, name);
    }
  }

  #shaded(at: number): ShadedLayer {
    const layer = this.#layer(at);
    if (layer.form === 'overlay') return { path: layer.path, marked: [] };
    const marked = layer.settled ? this.#readMarkers(layer) : undefined;
    return { path: layer.path, ...(marked === undefined ? {} : { marked }) };
  }

  #pair({ kind, at }: Joint, involved: readonly number[]): ShadowPair {
    const known = this.#layer(at).notes;
    if (kind === 'above') return { below: involved.indexOf(at), known };
    return { above: involved.indexOf(at), below: involved.indexOf(at + 1), known };
  }

  /** Another process may have made the same one. */
  #publish(from: string, { at }: Joint, name: string): void {
    const directory = this.#layer(at).notes;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    try {
      renameSync(from, join(directory, name));
    } catch (error) {
      if (!hasErrno(error, 'EEXIST', 'ENOTEMPTY')) throw error;
    }
  }

  #noteFound(joints: readonly Joint[], involved: readonly number[], marked: readonly ShadedLayer['marked'][]): void {
    for (const [index, at] of involved.entries()) {
      const layer = this.#layer(at);
      if (!layer.settled || layer.form === 'overlay') continue;
      mkdirSync(layer.notes, { recursive: true, mode: 0o700 });
      if (this.#readMarkers(layer) === undefined) {
        writeMarkerList(markerListOf(layer), layer.path, marked[index] ?? [], layer.identity);
      }
      if (joints.some((joint) => joint.at === at)) this.#writeNote(at);
    }
  }

  #writeNote(at: number): void {
    const before = this.#notes[at];
    const found = (kind: Joint['kind']): string | null | undefined => {
      const key = keyOf({ kind, at });
      return this.#names.has(key) ? (this.#names.get(key) ?? null) : undefined;
    };
    const above = found('above') ?? before?.above;
    const name = found('below');
    const below = this.#identities[at + 1];
    const next = this.layers[at + 1];
    const fresh =
      name === undefined || below === undefined || next?.form !== 'aufs' ? undefined : { identity: below, name };
    const lower = fresh ?? before?.below;
    const note: ShadowNote = {
      identity: this.#identities[at] ?? '',
      ...(above === undefined ? {} : { above }),
      ...(lower === undefined ? {} : { below: lower }),
    };
    const { notes } = this.#layer(at);
    writeShadowNote(join(notes, 'note'), note);
    this.parts.known.set(notes, note);
  }

  #noteOf(layer: StackLayer, at: number): ShadowNote | undefined {
    const identity = this.#identities[at];
    const known = this.parts.known.get(layer.notes);
    if (known?.identity === identity) return known;
    const note = readShadowNote(join(layer.notes, 'note'));
    if (note === undefined || note.identity !== identity) return undefined;
    this.parts.known.set(layer.notes, note);
    return note;
  }

  #readMarkers(layer: StackLayer): ShadedLayer['marked'] {
    return readMarkerList(markerListOf(layer), layer.path, layer.identity);
  }

  #layer(at: number): StackLayer {
    const layer = this.layers[at];
    if (layer === undefined) throw new RangeError(`the stack has no layer ${at}`);
    return layer;
  }
}

function markerListOf({ notes }: StackLayer): string {
  return join(notes, 'markers');
}

/** The layers of a job with the markers that were found in them. */
function known(job: ShadowsJob, marked: ShadowsMade['marked']): ShadedLayer[] {
  return job.layers.map(({ path }, index) => ({ path, marked: marked[index] ?? [] }));
}

function keyOf({ kind, at }: Joint): string {
  return `${kind} ${at}`;
}
