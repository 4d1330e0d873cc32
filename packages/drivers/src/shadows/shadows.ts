/**
 * The shadow layers of a home: what lies between layers in aufs form when the kernel's overlay joins them.
 *
 * ```
 * <state>/layers/<id>/markers     the layer's markers, written when an archive was applied
 * <state>/layers/<id>/note        which shadows it has, and for which state of the layers
 * <state>/layers/<id>/<name>/     a shadow: between the layer and its parent, or above the layer
 * ```
 *
 * All of it can be deleted while no view is mounted; it is made again from the layers. A shadow is named by what is in it
 * and never changes, so that mounts which have it keep it.
 *
 * Engines write into a layer until it has a child, and never afterwards. So what was noted about a layer is believed only
 * where the layer lies below another one (and its root is as it was); the uppermost layer of a read-only view is looked
 * through each time, unless it has a child elsewhere.
 */
import { mkdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, parseLayerId, type LayerId, type Logger } from '@layerstore/core';
import type { Home } from '../home/home.js';
import { isDirectory, listOptional, unlessAbsent } from '../home/optional-file.js';
import type { AufsWork } from '../aufs/aufs-work.js';
import { isMountedFrom } from '../aufs/mounts-over.js';
import type { ShadowNote } from './shadow-note.js';
import { ShadowStack, type StackLayer } from './shadow-stack.js';

export interface ShadowParts {
  readonly home: Home;
  readonly work: AufsWork;
  readonly logger: Logger | undefined;
}

export class Shadows {
  readonly #notes = new Map<string, ShadowNote>();

  /** Where what is known of the layers is kept. */
  readonly path: string;

  constructor(private readonly parts: ShadowParts) {
    this.path = join(parts.home.state, 'layers');
  }

  /** The directory in which is kept what is known of a layer; it may not be there yet. */
  notesOf(id: LayerId): string {
    return join(this.path, parseLayerId(id));
  }

  /** Where a layer's list of markers is kept; its directory is there on return. */
  markerList(id: LayerId): string {
    mkdirSync(this.notesOf(id), { recursive: true, mode: 0o700 });
    return join(this.notesOf(id), 'markers');
  }

  /** The directories of a stack with its shadows, uppermost first, without making any: some may not be there. */
  async name(stack: readonly StackLayer[]): Promise<string[]> {
    return this.#stack(stack).directories('named');
  }

  /** The same; all are there on return. Cost: a few small reads for each layer, when they were made before. */
  async make(stack: readonly StackLayer[]): Promise<string[]> {
    return this.#stack(stack).directories('made');
  }

  /** Forgets what was noted about a layer that is gone, or that somebody is going to write into. */
  async forget(id: LayerId): Promise<void> {
    const directory = this.notesOf(id);
    this.#notes.delete(directory);
    if (!isDirectory(directory)) return;
    for (const name of ['markers', 'note']) unlessAbsent(() => unlinkSync(join(directory, name)));
    if (!isMountedFrom(directory)) await this.parts.home.trees.remove(directory);
  }

  /** Deletes what is left of layers that are gone. Cost: a listing. */
  async sweep(layers: readonly LayerId[]): Promise<void> {
    const known = new Set<string>(layers);
    for (const { name } of listOptional(this.path)) {
      if (isLayerId(name) && !known.has(name)) await this.forget(name);
    }
  }

  #stack(layers: readonly StackLayer[]): ShadowStack {
    return new ShadowStack(layers, { ...this.parts, known: this.#notes });
  }
}
