import { StoreError } from '@layerstore/core';
import { lstatSync, mkdirSync, realpathSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { BindPlan, UnionPlan } from '../mount-plan.js';
import { readMountTable, type MountTableEntry } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';
import { overlayDirectories } from './overlay-options.js';

/**
 * The name of a mount point in the mount table: its directory without symlinks. The last component is not looked at,
 * for a mount on it may hang or fail. `undefined` when the directory does not exist.
 */
export function mountPointName(target: string): string | undefined {
  const absolute = resolve(target);
  try {
    return join(realpathSync(dirname(absolute)), basename(absolute));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The mounts on one point, lowest first, as the calling thread sees them. */
export function mountsOn(point: string): MountTableEntry[] {
  return readMountTable('/proc/thread-self/mountinfo').filter((entry) => entry.mountPoint === point);
}

/** Makes the directory where it is missing; returns true when it did. */
export function makeMountPoint(point: string): boolean {
  try {
    mkdirSync(point, { mode: 0o700 });
    return true;
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
  }
  if (!lstatSync(point).isDirectory()) {
    throw new StoreError('ERR_MOUNT_FAILED', 'the mount point is not a directory', { subject: point });
  }
  return false;
}

/** Deletes the directory if it is empty, and returns false if it is not. Never more: it may hold somebody's data. */
export function removeMountPoint(point: string): boolean {
  try {
    rmdirSync(point);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return true;
    if (hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY')) return false;
    throw error;
  }
}

/** True when the mount shows what the plan describes: then one that survived a crash is taken over. */
export function showsPlan(entry: MountTableEntry, plan: BindPlan | UnionPlan): boolean {
  if (plan.kind === 'bind') return isSameDirectory(entry.mountPoint, plan.source);
  // The table does not name the branches of an aufs: whoever mounted one on a layer's mount point meant that layer.
  if (plan.kind === 'aufs') return entry.type === 'aufs';
  if (entry.type !== 'overlay') return false;
  const { lowers, upper } = overlayDirectories(entry);
  const base = plan.short?.base ?? '/';
  // An upper has one overlay at a time; it alone tells.
  if (plan.upper !== undefined) return upper !== undefined && isSameDirectory(resolve(base, upper), plan.upper.path);
  if (upper !== undefined || lowers.length !== plan.lowers.length) return false;
  return plan.lowers.every((lower, index) => isSameDirectory(resolve(base, lowers[index] ?? ''), lower));
}

function isSameDirectory(one: string, other: string): boolean {
  const first = statSync(one, { bigint: true, throwIfNoEntry: false });
  const second = statSync(other, { bigint: true, throwIfNoEntry: false });
  return first !== undefined && second !== undefined && first.ino === second.ino && first.dev === second.dev;
}
