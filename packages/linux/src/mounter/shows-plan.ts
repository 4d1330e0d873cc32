/** Does a mount that is found show what a plan describes? Then one that survived a crash is taken over. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { KernelTables } from '../kernel-tables.js';
import type { AufsPlan, BindPlan, OverlayPlan, UnionPlan } from '../mount-plan.js';
import type { MountTableEntry } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';
import { findFuseServer, fuseOptionText, isFuseOverlay } from './fuse-overlayfs.js';
import { overlayDirectories } from './overlay-options.js';

/**
 * Which mounts are taken over: `exact` ones, or `also-writable` ones where the plan has no upper. A layer that gets a child
 * while it is mounted is planned without upper from then on, and its users keep the view they have.
 */
export type Adoption = 'exact' | 'also-writable';

export function showsPlan(
  kernel: KernelTables,
  entry: MountTableEntry,
  plan: BindPlan | UnionPlan,
  adoption: Adoption,
): boolean {
  switch (plan.kind) {
    case 'bind':
      return isSameDirectory(entry.mountPoint, plan.source);
    case 'aufs':
      return showsAufs(kernel, entry, plan, adoption);
    case 'overlay':
      return isFuseOverlay(entry) ? showsFuse(entry, plan, adoption) : showsOverlay(entry, plan, adoption);
  }
}

/** Where the kernel does not name the branches, whoever mounted an aufs on a layer's mount point meant that layer. */
function showsAufs(kernel: KernelTables, entry: MountTableEntry, plan: AufsPlan, adoption: Adoption): boolean {
  if (entry.type !== 'aufs') return false;
  const branches = kernel.aufsBranches(entry);
  if (branches === undefined) return true;
  const writable = branches[0]?.permission.startsWith('rw') === true;
  if (plan.writable !== writable && (plan.writable || adoption === 'exact')) return false;
  return (
    branches.length === plan.branches.length && plan.branches.every((path, index) => branches[index]?.path === path)
  );
}

function showsOverlay(entry: MountTableEntry, plan: OverlayPlan, adoption: Adoption): boolean {
  if (entry.type !== 'overlay') return false;
  const { lowers, upper } = overlayDirectories(entry);
  const base = plan.short?.base ?? '/';
  const isAt = (spelled: string | undefined, path: string | undefined): boolean =>
    spelled !== undefined && path !== undefined && isSameDirectory(resolve(base, spelled), path);
  // An upper has one overlay at a time; it alone tells.
  if (plan.upper !== undefined) return isAt(upper, plan.upper.path);
  if (upper !== undefined && adoption === 'exact') return false;
  // Lowers with mapped owners have no path that could be compared.
  if (plan.idMaps !== undefined) {
    if (upper === undefined) return lowers.length === plan.lowers.length;
    return isAt(upper, plan.lowers[0]) && lowers.length === plan.lowers.length - 1;
  }
  const shown = upper === undefined ? lowers : [upper, ...lowers];
  return shown.length === plan.lowers.length && plan.lowers.every((lower, index) => isAt(shown[index], lower));
}

/** The mount table says nothing about its layers; the command line of its process does. */
function showsFuse(entry: MountTableEntry, plan: OverlayPlan, adoption: Adoption): boolean {
  const options = findFuseServer(entry.mountPoint)?.options;
  if (options === undefined) return false;
  const shown = layersIn(options);
  if (shown === layersIn(fuseOptionText(plan))) return true;
  const [upper, ...lowers] = plan.lowers;
  if (plan.upper !== undefined || upper === undefined || adoption === 'exact') return false;
  return shown === layersIn(fuseOptionText({ ...plan, lowers, upper: { path: upper, work: '' } }));
}

/** The lowers and the upper; other options differ with the plan's purpose. */
function layersIn(options: string): string {
  const parts = options.match(/(?:\\.|[^,\\])+/g) ?? [];
  return parts.filter((part) => /^(?:lower|upper)dir=/.test(part)).join(',');
}

/** Symlinks that lead nowhere, and layers that are gone, are like nothing. */
function isSameDirectory(one: string, other: string): boolean {
  const first = status(one);
  const second = status(other);
  return first !== undefined && second !== undefined && first.ino === second.ino && first.dev === second.dev;
}

function status(path: string): { readonly ino: bigint; readonly dev: bigint } | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (hasErrno(error, 'ELOOP', 'ENOTCONN', 'ECONNABORTED', 'EACCES')) return undefined;
    throw error;
  }
}
