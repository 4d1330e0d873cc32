/** Unmounting, with all that belongs to it in the different file systems. */
import { fromSystemError, StoreError } from '@layerstore/core';
import { setTimeout as delay } from 'node:timers/promises';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../constants.js';
import { mountsBelow, type MountTableEntry } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';
import { flushPseudoLinks } from './aufs-pseudo-links.js';
import { removeFuseLeftovers } from './fuse-leftovers.js';
import { findFuseServer, hasEnded, isFuseOverlay, upperOf, type FuseServer } from './fuse-overlayfs.js';
import { describeHolders, findMountHolders } from './holders.js';
import { topMount } from './mount-point.js';
import type { MountTools } from './mount-tools.js';

/** A view that was opened a moment ago is often let go within milliseconds: by indexers, by a shell that ends. */
const BUSY_DELAYS_MS = [5, 10, 20, 40, 80, 160, 320];

/** What to do with a mount that somebody uses: report it, or take it out of the tree for all but its users. */
export type WhenBusy = 'report' | 'detach';

/**
 * Unmounts the uppermost mount of a point.
 * @throws StoreError ERR_BUSY with the mounts and processes that hold it
 */
export async function takeAway(tools: MountTools, point: string, whenBusy: WhenBusy): Promise<void> {
  const mount = topMount(tools.kernel, point);
  if (mount === undefined) return;
  if (mount.type === 'aufs') await flush(tools, mount);
  const server = isFuseOverlay(mount) ? findFuseServer(point) : undefined;
  await detach(tools, point, whenBusy);
  if (server !== undefined) await seeOff(tools, point, server);
}

async function detach(tools: MountTools, point: string, whenBusy: WhenBusy): Promise<void> {
  for (const wait of [...BUSY_DELAYS_MS, undefined]) {
    try {
      await unmount(tools, point, UMOUNT_NOFOLLOW);
      return;
    } catch (error) {
      // Somebody else unmounted it.
      if (hasErrno(error, 'EINVAL', 'ENOENT')) return;
      if (!hasErrno(error, 'EBUSY')) throw fromSystemError(error, point);
      if (wait !== undefined) {
        await delay(wait);
      } else {
        const busy = busyError(tools.kernel.mounts(), point, error);
        if (whenBusy === 'report') throw busy;
        tools.logger.warn({ target: point, reason: busy.message }, 'a view in use is detached');
        await unmount(tools, point, UMOUNT_NOFOLLOW | MNT_DETACH);
      }
    }
  }
}

async function unmount({ sys, unmountIn }: MountTools, point: string, flags: number): Promise<void> {
  if (unmountIn === 'background') await sys.umountInBackground(point, flags);
  else sys.umount(point, flags);
}

/** Unflushed pseudo-links stay readable, so a failure is no reason to keep the view; Docker goes on as well. */
async function flush({ sys, kernel, logger }: MountTools, mount: MountTableEntry): Promise<void> {
  const target = mount.mountPoint;
  const writable = kernel.aufsBranches(mount)?.find((branch) => branch.permission.startsWith('rw'));
  if (writable === undefined) return;
  try {
    const flushed = await flushPseudoLinks(sys, target, writable.path);
    if (flushed > 0) logger.debug({ target, flushed }, 'flushed pseudo-links');
  } catch (error) {
    logger.warn({ target, reason: fromSystemError(error).message }, 'pseudo-links stay in the layer');
  }
}

async function seeOff({ sys, logger }: MountTools, target: string, server: FuseServer): Promise<void> {
  if (!(await hasEnded(server))) logger.warn({ target, pid: server.pid }, 'fuse-overlayfs runs on after the unmount');
  const upper = upperOf(server);
  if (upper !== undefined) await removeFuseLeftovers(sys, upper);
}

function busyError(mounts: readonly MountTableEntry[], point: string, cause: unknown): StoreError {
  const inner = mountsBelow(mounts, point).filter((entry) => entry.mountPoint !== point);
  const holders = describeHolders(findMountHolders(point));
  const reasons = [
    ...(inner.length > 0
      ? [`other mounts lie inside the view: ${inner.map((mount) => mount.mountPoint).join(', ')}`]
      : []),
    ...(holders === '' ? [] : [`the view is in use by ${holders}`]),
  ];
  const reason = reasons.length > 0 ? reasons.join('; ') : 'the view is in use';
  return new StoreError('ERR_BUSY', reason, { subject: point, hint: 'end what uses it and unmount again', cause });
}
