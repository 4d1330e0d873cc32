import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { OverlayPlan, OverlayUpper } from '@layerstore/linux';
import type { Home } from '../home/home.js';
import type { StackLayer } from './shadow-stack.js';
import type { Shadows } from './shadows.js';
import type { ShortNames } from './short-names.js';

export interface ShadedPlanParts {
  readonly home: Home;
  readonly shadows: Shadows;
  readonly shortNames: ShortNames;
}

/** Whether what a plan needs is only named, or made. */
export type Readiness = 'named' | 'made';

export interface ShadedPlanOptions {
  /** Absent for a view that takes no writes. */
  readonly upper?: OverlayUpper | undefined;
  /** Of the mount, in kernel spelling. */
  readonly options: readonly string[];
  readonly readiness: Readiness;
}

/** Kernel overlays over layers that need shadows between them. */
export class ShadedPlans {
  constructor(private readonly parts: ShadedPlanParts) {}

  /** @param stack the lowers, uppermost first */
  async overlay(stack: readonly StackLayer[], how: ShadedPlanOptions): Promise<OverlayPlan> {
    const { shadows, shortNames } = this.parts;
    const { upper, options, readiness } = how;
    const shaded = readiness === 'made' ? await shadows.make(stack) : await shadows.name(stack);
    const needed = upper === undefined ? 2 : 1;
    const lowers = shaded.length >= needed ? shaded : [...shaded, this.emptyDirectory()];
    const nameOf = (path: string): string =>
      readiness === 'made' ? shortNames.require(path) : shortNames.nameOf(path);
    return {
      kind: 'overlay',
      lowers,
      ...(upper === undefined ? {} : { upper }),
      options,
      short: { base: shortNames.path, lowers: lowers.map(nameOf) },
      program: 'none',
    };
  }

  /** What stands for the lower layers where there are none. */
  emptyDirectory(): string {
    const path = join(this.parts.home.state, 'empty');
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return path;
  }
}
