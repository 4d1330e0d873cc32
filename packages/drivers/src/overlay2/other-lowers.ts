import type { LayerId } from '@layerstore/core';
import type { MountPlan } from '@layerstore/linux';
import { aufsWork } from '../aufs/aufs-work.js';
import type { DriverOptions } from '../driver-options.js';
import type { Home } from '../home/home.js';
import { isDirectory } from '../home/optional-file.js';
import type { ForeignLayer, PlacedLayer } from '../restacking.js';
import { ShadedPlans, type Readiness, type ShadedPlanParts } from '../shadows/shaded-plans.js';
import type { StackLayer } from '../shadows/shadow-stack.js';
import { Shadows } from '../shadows/shadows.js';
import { ShortNames } from '../shadows/short-names.js';

interface OtherLowersParts extends ShadedPlanParts {
  /** `program`: views are made by fuse-overlayfs, which reads both forms of deletions itself. */
  readonly mountedBy: 'kernel' | 'program';
}

/** Views of an overlay2 home over other directories than those of its own layers, deletions in aufs form included. */
export class OtherLowers {
  readonly #shaded: ShadedPlans;

  private constructor(private readonly parts: OtherLowersParts) {
    this.#shaded = new ShadedPlans(parts);
  }

  static in(home: Home, { workers, mounter, logger }: DriverOptions): OtherLowers {
    return new OtherLowers({
      home,
      shadows: new Shadows({ home, work: aufsWork(workers), logger }),
      shortNames: new ShortNames(home.state),
      mountedBy: mounter.method === 'fuse-overlayfs' ? 'program' : 'kernel',
    });
  }

  /** @param plan of the layer's view over its own parents */
  async replace(
    plan: MountPlan,
    own: PlacedLayer,
    lowers: readonly (PlacedLayer | ForeignLayer)[],
    readiness: Readiness,
  ): Promise<MountPlan> {
    if (plan.kind !== 'overlay') return plan;
    const { upper, options } = plan;
    const stack = upper === undefined ? [own, ...lowers] : lowers;
    if (this.parts.mountedBy === 'kernel') {
      return this.#shaded.overlay(
        stack.map((layer) => this.#stackLayer(layer)),
        { upper, options, readiness },
      );
    }
    const paths = stack.map(({ tree }) => tree.path);
    const enough = paths.length >= (upper === undefined ? 2 : 1);
    return {
      kind: 'overlay',
      lowers: enough ? paths : [...paths, this.#shaded.emptyDirectory()],
      ...(upper === undefined ? {} : { upper }),
      options,
    };
  }

  /** Forgets what was made for a layer that is gone. */
  async forget(id: LayerId): Promise<void> {
    if (isDirectory(this.parts.shadows.notesOf(id))) await this.parts.shadows.forget(id);
  }

  /** Deletes what is left of layers that are gone; nothing is read where there never was anything. */
  async sweep(layers: () => readonly LayerId[]): Promise<void> {
    if (!isDirectory(this.parts.shadows.path)) return;
    await this.parts.shadows.sweep(layers());
    this.parts.shortNames.sweep();
  }

  #stackLayer(layer: PlacedLayer | ForeignLayer): StackLayer {
    if (layer.kind === 'own') {
      const { id, tree } = layer;
      return { path: tree.path, notes: this.parts.shadows.notesOf(id), form: 'overlay', settled: true };
    }
    const { tree, notes, identity } = layer;
    return { path: tree.path, notes, identity, form: 'aufs', settled: true };
  }
}
