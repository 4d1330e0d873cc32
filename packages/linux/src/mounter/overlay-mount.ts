/**
 * Overlays by mount(2), for kernels without the new mount API: all options in one page, for which long lists need short
 * names, as the engines do it.
 */
import { join } from 'node:path';
import type { OverlayPlan } from '../mount-plan.js';
import type { Syscalls } from '../syscalls.js';
import { OpenDirectories } from './open-directory.js';
import { OverlayFailure } from './overlay-failure.js';
import { MAX_OPTION_BYTES, overlayOptionText } from './overlay-options.js';
import { mountFromDirectory } from './relative-mount.js';

/**
 * @param userNamespace maps the owners that the lowers show
 * @throws OverlayFailure
 */
export async function mountOverlayByMount(
  sys: Syscalls,
  plan: OverlayPlan,
  target: string,
  userNamespace?: number,
): Promise<void> {
  try {
    if (userNamespace === undefined) await mountNamed(sys, plan, target);
    else mountMapped(sys, plan, target, userNamespace);
  } catch (error) {
    throw error instanceof OverlayFailure ? error : new OverlayFailure(error, '', false);
  }
}

async function mountNamed(sys: Syscalls, plan: OverlayPlan, target: string): Promise<void> {
  const { short } = plan;
  const absolute = overlayOptionText(short === undefined ? plan.lowers : absoluteNames(short), plan);
  if (short === undefined || fits(absolute)) {
    mountText(sys, target, absolute);
    return;
  }
  const relative = overlayOptionText(short.lowers, plan);
  refuseLength(relative);
  await mountFromDirectory({ directory: short.base, source: 'overlay', target, type: 'overlay', data: relative });
}

/** Mounts with mapped owners have no name but that of their descriptor (Linux 5.19 and later take them). */
function mountMapped(sys: Syscalls, plan: OverlayPlan, target: string, userNamespace: number): void {
  using directories = new OpenDirectories(sys, userNamespace);
  const { lowers: paths, unmappedLowers = 0 } = plan;
  const opened = paths.map((path, index) =>
    index < unmappedLowers ? directories.plain(path) : directories.lower(path),
  );
  const lowers = opened.map((fd) => `/proc/self/fd/${fd}`);
  mountText(sys, target, overlayOptionText(lowers, plan));
}

function mountText(sys: Syscalls, target: string, options: string): void {
  refuseLength(options);
  sys.mount('overlay', target, 'overlay', 0, options);
}

function refuseLength(options: string): void {
  if (fits(options)) return;
  const size = Buffer.byteLength(options);
  const reason = `the options take ${size} bytes, mount(2) passes on ${MAX_OPTION_BYTES}: too many layers for this kernel`;
  throw new OverlayFailure(undefined, reason, false);
}

function absoluteNames(short: { readonly base: string; readonly lowers: readonly string[] }): string[] {
  return short.lowers.map((lower) => join(short.base, lower));
}

function fits(options: string): boolean {
  return Buffer.byteLength(options) <= MAX_OPTION_BYTES;
}
