import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { StoreError } from '@layerstore/core';
import {
  describeHolders,
  findMountHolders,
  hasErrno,
  Mounter,
  nativeSyscalls,
  readMountTable,
  UMOUNT_NOFOLLOW,
} from '@layerstore/linux';
import { KeeperClient } from './keeper-client.js';
import { KeeperPaths, mountSubtype } from './keeper-paths.js';
import type { LazyMount, LazyMountRequest, LazyMounts } from './lazy-mount.js';

/** The use of a revision by a directory that it is mounted on. */
export function userOfDirectory(path: string): string {
  return `directory ${createHash('sha256').update(path).digest('hex').slice(0, 16)}`;
}

/**
 * Mounts a revision on a directory, read-only, until {@link unmountDirectory}.
 * @param target absolute, without symlinks; made where it is missing
 * @throws StoreError ERR_BUSY when something is mounted there; as `LazyMounts.acquire`
 */
export async function mountOnDirectory(
  mounts: LazyMounts,
  target: string,
  request: Omit<LazyMountRequest, 'user'>,
): Promise<LazyMount> {
  const user = userOfDirectory(target);
  if (new Mounter().isMounted(target)) {
    throw new StoreError('ERR_BUSY', 'something is mounted there', { subject: target, hint: 'unmount it first' });
  }
  const mount = await mounts.acquire({ ...request, user });
  try {
    await new Mounter().mount({ kind: 'bind', source: mount.path, readOnly: true }, target);
    return { ...mount, path: target };
  } catch (error) {
    await mounts.release(mount.repository, user);
    throw error;
  }
}

/**
 * The reverse of {@link mountOnDirectory}, in any process; the directory stays.
 * @throws StoreError ERR_NOT_FOUND when no repository is mounted there; ERR_BUSY with who uses it
 */
export async function unmountDirectory(target: string): Promise<void> {
  const table = readMountTable('/proc/thread-self/mountinfo');
  const mounted = table.findLast(({ mountPoint }) => mountPoint === target);
  if (mounted?.type !== `fuse.${mountSubtype}`) {
    throw new StoreError('ERR_NOT_FOUND', 'no repository is mounted there', { subject: target });
  }
  try {
    nativeSyscalls().umount(target, UMOUNT_NOFOLLOW);
  } catch (cause) {
    if (!hasErrno(cause, 'EBUSY')) throw cause;
    const holders = describeHolders(findMountHolders(target));
    throw new StoreError('ERR_BUSY', `it is in use${holders === '' ? '' : ` by ${holders}`}`, {
      subject: target,
      cause,
    });
  }
  // The keeper has the same file system mounted as a whole, unless it was killed.
  const whole = table.find(({ device, root }) => device === mounted.device && root === '/');
  if (whole === undefined) return;
  using keeper = await KeeperClient.find(new KeeperPaths(dirname(whole.mountPoint)));
  await keeper?.ask({ kind: 'release', user: userOfDirectory(target) });
}

/** Whether a revision is still mounted on a directory. */
export function isMountedOn(target: string): boolean {
  const top = new Mounter().mountOn(target);
  return top?.type === `fuse.${mountSubtype}`;
}
