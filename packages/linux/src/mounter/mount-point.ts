import { StoreError } from '@layerstore/core';
import { lstatSync, mkdirSync, realpathSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { KernelTables } from '../kernel-tables.js';
import type { MountTableEntry } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';

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
export function mountsOn(kernel: KernelTables, point: string): MountTableEntry[] {
  return kernel.mounts().filter((entry) => entry.mountPoint === point);
}

/** The mount that is seen on a point. */
export function topMount(kernel: KernelTables, point: string): MountTableEntry | undefined {
  return mountsOn(kernel, point).at(-1);
}

/** Makes the directory where it is missing; returns true when it did. */
export function makeMountPoint(point: string): boolean {
  try {
    mkdirSync(point, { mode: 0o700 });
    return true;
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
  }
  if (!isDead(point) && !lstatSync(point).isDirectory()) {
    throw new StoreError('ERR_MOUNT_FAILED', 'the mount point is not a directory', { subject: point });
  }
  return false;
}

/**
 * Deletes the directory if it is empty, and returns false if it is not. Never more: it may hold somebody's data. The
 * kernel takes away what other mount namespaces still have mounted on it.
 */
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

/** The mount on `point` is served by a process that has died. */
export function isDead(point: string): boolean {
  try {
    statSync(point);
    return false;
  } catch (error) {
    // The second one meets a request that was under way.
    if (hasErrno(error, 'ENOTCONN', 'ECONNABORTED')) return true;
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
