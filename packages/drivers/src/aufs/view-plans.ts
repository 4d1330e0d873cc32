/**
 * How the views of an aufs home are mounted, by each engine.
 *
 * | engine           | layers in the plan                                    | writable layer              |
 * | ---------------- | ----------------------------------------------------- | --------------------------- |
 * | `aufs`           | the directories as branches                           | the first branch, as it is  |
 * | `overlay`        | the directories as lowers, shadow layers between them | the upper, in overlay form  |
 * | `fuse-overlayfs` | the directories as lowers: it understands aufs layers | none: views are read-only   |
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerTree } from '@layerstore/archive';
import type { IdMaps, LayerId } from '@layerstore/core';
import { nativeSyscalls, type MountPlan, type OverlayUpper } from '@layerstore/linux';
import type { PlanOptions } from '../driver.js';
import type { Home } from '../home/home.js';
import { contextOption, overlayOptions } from '../overlay2/mount-options.js';
import type { ForeignLayer, PlacedLayer } from '../restacking.js';
import type { Readiness, ShadedPlans } from '../shadows/shaded-plans.js';
import type { AufsWork } from './aufs-work.js';
import type { AufsEngine } from './engine.js';
import type { LayerRecords } from './layer-records.js';
import type { OverlayForms } from './overlay-forms.js';
import type { StackLayer } from '../shadows/shadow-stack.js';
import type { Shadows } from '../shadows/shadows.js';

export interface ViewPlanParts {
  readonly home: Home;
  readonly engine: AufsEngine;
  readonly records: LayerRecords;
  readonly forms: OverlayForms;
  readonly shadows: Shadows;
  readonly shaded: ShadedPlans;
  readonly work: AufsWork;
  /** Options of every overlay. */
  readonly overlayOptions: readonly string[];
  /** Options of every aufs. */
  readonly aufsOptions: readonly string[];
  readonly idMaps: IdMaps | undefined;
}

export class ViewPlans {
  constructor(private readonly parts: ViewPlanParts) {}

  /** The plan of a view, without changing anything. */
  async describe(id: LayerId, options: PlanOptions): Promise<MountPlan> {
    return this.#plan(id, this.parts.records.parents(id), options, 'named');
  }

  /** The same with everything on disk that the mount needs. */
  async prepare(id: LayerId, options: PlanOptions): Promise<MountPlan> {
    const { records, forms, shadows, engine } = this.parts;
    const parents = records.parents(id);
    await forms.settle(id);
    if (this.#isWritable(id, options)) {
      await shadows.forget(id);
      if (engine === 'overlay' && (await this.#needsUnion(id, parents))) await this.#openForm(id, parents);
    }
    return this.#plan(id, parents, options, 'made');
  }

  /**
   * The plan of a view over other lowers than the layer's parents. They may mark what they hide in the overlay's own way, in `trusted`
   * attributes, so the mount reads those; a kernel's aufs would not.
   */
  async over(
    id: LayerId,
    lowers: readonly (PlacedLayer | ForeignLayer)[],
    options: PlanOptions,
    readiness: Readiness,
  ): Promise<MountPlan> {
    const { forms, shadows, engine, shaded } = this.parts;
    const writable = this.#isWritable(id, options);
    if (readiness === 'made') await forms.settle(id);
    if (readiness === 'made' && writable) {
      await shadows.forget(id);
      const hidesAll = hidesAllBelow(this.#layer(id, false));
      await forms.open(id, () => (hidesAll ? [] : lowers.map(({ tree }) => tree)), 'trusted');
    }
    const labels = labelOptions(options);
    const layers = this.#visibleOf([this.#layer(id, this.#hasChild(id)), ...lowers.map((lower) => this.#lower(lower))]);
    if (engine === 'fuse-overlayfs') return this.#byProgram(layers, labels);
    return shaded.overlay(writable ? layers.slice(1) : layers, {
      upper: writable ? this.#upper(id) : undefined,
      options: [...overlayOptions(), ...labels],
      readiness,
    });
  }

  /** The directory of a layer in the form that it has. */
  async tree(id: LayerId): Promise<LayerTree> {
    const { forms, records, idMaps, home } = this.parts;
    if (!home.readOnly) await forms.settle(id);
    const form = { path: records.path('diff', id), dialect: forms.formOf(id) };
    return idMaps === undefined ? form : { ...form, idMaps };
  }

  async trees(ids: readonly LayerId[]): Promise<LayerTree[]> {
    return Promise.all(ids.map((id) => this.tree(id)));
  }

  async #plan(
    id: LayerId,
    parents: readonly LayerId[],
    options: PlanOptions,
    readiness: Readiness,
  ): Promise<MountPlan> {
    const writable = this.#isWritable(id, options);
    if (!(await this.#needsUnion(id, parents))) {
      const path = this.parts.records.path('diff', id);
      return writable ? { kind: 'directory', path } : { kind: 'bind', source: path, readOnly: true };
    }
    const labels = labelOptions(options);
    switch (this.parts.engine) {
      case 'aufs':
        return this.#aufs(id, parents, writable, labels);
      case 'overlay':
        return this.#overlay(id, parents, { writable, labels, readiness });
      case 'fuse-overlayfs':
        return this.#byProgram(this.#visible([id, ...parents]), labels);
    }
  }

  #aufs(id: LayerId, parents: readonly LayerId[], writable: boolean, labels: readonly string[]): MountPlan {
    const branches = this.#visible([id, ...parents]).map((layer) => layer.path);
    return { kind: 'aufs', branches, writable, options: [...this.parts.aufsOptions, ...labels] };
  }

  async #overlay(
    id: LayerId,
    parents: readonly LayerId[],
    how: { readonly writable: boolean; readonly labels: readonly string[]; readonly readiness: Readiness },
  ): Promise<MountPlan> {
    const { shaded, overlayOptions: shared } = this.parts;
    const visible = this.#visible([id, ...parents]);
    return shaded.overlay(how.writable ? visible.slice(1) : visible, {
      upper: how.writable ? this.#upper(id) : undefined,
      options: [...shared, ...how.labels],
      readiness: how.readiness,
    });
  }

  #upper(id: LayerId): OverlayUpper {
    const { home, records, forms } = this.parts;
    return home.upper(records.path('diff', id), forms.workDirectory(id));
  }

  #byProgram(stack: readonly StackLayer[], labels: readonly string[]): MountPlan {
    const layers = stack.map((layer) => layer.path);
    const lowers = layers.length >= 2 ? layers : [...layers, this.parts.shaded.emptyDirectory()];
    return { kind: 'overlay', lowers, options: labels, program: 'fuse-overlayfs' };
  }

  /** The layers of a stack down to the first whose root is opaque. */
  #visible(ids: readonly LayerId[]): StackLayer[] {
    return this.#visibleOf(ids.map((id, index) => this.#layer(id, index > 0 || this.#hasChild(id))));
  }

  #visibleOf(layers: readonly StackLayer[]): StackLayer[] {
    const last = layers.findIndex(hidesAllBelow);
    return layers.slice(0, last < 0 ? layers.length : last + 1);
  }

  #lower(lower: PlacedLayer | ForeignLayer): StackLayer {
    if (lower.kind === 'own') return this.#layer(lower.id, true);
    const { tree, notes, identity } = lower;
    return { path: tree.path, notes, identity, form: 'aufs', settled: true };
  }

  #layer(id: LayerId, settled: boolean): StackLayer {
    const { records, forms } = this.parts;
    const form = forms.formOf(id) === 'overlay' ? 'overlay' : 'aufs';
    return {
      path: records.path('diff', id),
      notes: this.parts.shadows.notesOf(id),
      form,
      settled: settled && form === 'aufs',
    };
  }

  #isWritable(id: LayerId, options: PlanOptions): boolean {
    const { home, engine } = this.parts;
    if (options.readOnly === true || home.readOnly || engine === 'fuse-overlayfs') return false;
    return !this.#hasChild(id);
  }

  #hasChild(id: LayerId): boolean {
    return this.parts.records.children.of(id) !== undefined;
  }

  /** False for a base layer that is its own view, because there is nothing in it to be hidden. */
  async #needsUnion(id: LayerId, parents: readonly LayerId[]): Promise<boolean> {
    const { records, engine, forms, work } = this.parts;
    if (parents.length > 0 || forms.formOf(id) === 'overlay') return true;
    // Docker shows the directory itself.
    if (engine === 'aufs') return false;
    const { marked } = await work.shadows({ layers: [{ path: records.path('diff', id) }], pairs: [] });
    return marked.some((directories) => directories.some((directory) => directory.markers.length > 0));
  }

  async #openForm(id: LayerId, parents: readonly LayerId[]): Promise<void> {
    const lowers = await this.trees(parents);
    const hidesAll = hidesAllBelow(this.#layer(id, false));
    await this.parts.forms.open(id, () => (hidesAll ? [] : lowers));
  }
}

function labelOptions({ mountLabel = '' }: PlanOptions): string[] {
  return mountLabel === '' ? [] : [contextOption(mountLabel)];
}

/** True when nothing of the lower layers is to be seen: there is an opaque mark at the layer's root. */
function hidesAllBelow({ path, form }: StackLayer): boolean {
  if (form === 'aufs') return lstatSync(join(path, '.wh..wh..opq'), { throwIfNoEntry: false }) !== undefined;
  const marks = ['user.overlay.opaque', 'trusted.overlay.opaque'];
  return marks.some((name) => nativeSyscalls().getXattr(path, name)?.toString() === 'y');
}
