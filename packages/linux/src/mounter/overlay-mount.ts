/**
 * Overlays by mount(2), for kernels without the new mount API: all options in one page, for which long lists need short
 * names, as the engines do it.
 */
import { join } from 'node:path';
import type { OverlayPlan } from '../mount-plan.js';
import type { Syscalls } from '../syscalls.js';
import { OverlayFailure } from './overlay-failure.js';
import { MAX_OPTION_BYTES, overlayOptionText } from './overlay-options.js';
import { mountFromDirectory } from './relative-mount.js';

/** @throws OverlayFailure */
export async function mountOverlayByMount(sys: Syscalls, plan: OverlayPlan, target: string): Promise<void> {
  const { short } = plan;
  try {
    const absolute = overlayOptionText(short === undefined ? plan.lowers : absoluteNames(short), plan);
    if (fits(absolute)) {
      sys.mount('overlay', target, 'overlay', 0, absolute);
      return;
    }
    const relative = short === undefined ? absolute : overlayOptionText(short.lowers, plan);
    if (short === undefined || !fits(relative)) {
      const size = Buffer.byteLength(relative);
      throw new OverlayFailure(
        undefined,
        `the options take ${size} bytes, mount(2) passes on ${MAX_OPTION_BYTES}: too many layers for this kernel`,
        false,
      );
    }
    await mountFromDirectory({ directory: short.base, source: 'overlay', target, type: 'overlay', data: relative });
  } catch (error) {
    throw error instanceof OverlayFailure ? error : new OverlayFailure(error, '', false);
  }
}

function absoluteNames(short: { readonly base: string; readonly lowers: readonly string[] }): string[] {
  return short.lowers.map((lower) => join(short.base, lower));
}

function fits(options: string): boolean {
  return Buffer.byteLength(options) <= MAX_OPTION_BYTES;
}
