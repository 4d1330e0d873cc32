/**
 * Views by the kernel's own aufs, mounted as Docker's driver mounts them.
 *
 * Source: moby, daemon/graphdriver/aufs (its sequence of calls); Documentation/filesystems/aufs of the aufs project.
 */
import { StoreError } from '@layerstore/core';
import { setTimeout as delay } from 'node:timers/promises';
import { MNT_DETACH, MS_REMOUNT, S_IFDIR, S_IFMT } from '../constants.js';
import type { KernelTables } from '../kernel-tables.js';
import type { AufsPlan } from '../mount-plan.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';
import { aufsMountData, INODE_NUMBERS } from './aufs-options.js';

const inodeDirectory = INODE_NUMBERS.replace(/^xino=(.*)\/.*$/, '$1');
/** While another mount makes its file of inode numbers, the name is taken for a moment. */
const TAKEN_DELAYS_MS = [1, 2, 5, 10, 20, 50, 100];

let lastMount: Promise<unknown> = Promise.resolve();

/**
 * Mounts all branches and checks that all of them arrived; after any failure nothing is mounted. The mounts of one
 * process wait for one another, because all name the same file of inode numbers.
 * @throws StoreError ERR_MAX_DEPTH, ERR_MISSING_PREREQUISITE without /dev/shm, ERR_MOUNT_FAILED
 * @throws SystemError what the kernel answers
 */
export async function mountAufs(sys: Syscalls, kernel: KernelTables, plan: AufsPlan, target: string): Promise<void> {
  const [mount, ...remounts] = aufsMountData(plan);
  requireInodeDirectory(sys);
  const before = lastMount;
  const turn = (async () => {
    await before.catch(() => undefined);
    await mountFirst(sys, target, mount);
    try {
      for (const data of remounts) sys.mount('none', target, 'aufs', MS_REMOUNT, data);
      verifyBranches(kernel, plan, target);
    } catch (error) {
      sys.umount(target, MNT_DETACH);
      throw error;
    }
  })();
  lastMount = turn;
  await turn;
}

/** One mount(2) that names the file of inode numbers. */
export async function mountFirst(sys: Syscalls, target: string, data: string): Promise<void> {
  for (const wait of [...TAKEN_DELAYS_MS, undefined]) {
    try {
      sys.mount('none', target, 'aufs', 0, data);
      return;
    } catch (error) {
      if (wait === undefined || !hasErrno(error, 'EEXIST')) throw error;
      await delay(wait);
    }
  }
}

/** Without it the kernel says ENOENT, as for a missing branch. */
function requireInodeDirectory(sys: Syscalls): void {
  const status = sys.statxIfPresent(AT_FDCWD, inodeDirectory, 0);
  if (status !== undefined && (status.mode & S_IFMT) === S_IFDIR) return;
  throw new StoreError(
    'ERR_MISSING_PREREQUISITE',
    'aufs keeps its inode numbers there, and there is no such directory',
    {
      subject: inodeDirectory,
      hint: `mount it: mkdir -p ${inodeDirectory} && mount -t tmpfs shm ${inodeDirectory}`,
    },
  );
}

/** Options that were cut off, and appends that were ignored, are no error to aufs. */
function verifyBranches(kernel: KernelTables, plan: AufsPlan, target: string): void {
  const mount = kernel.mounts().findLast((entry) => entry.mountPoint === target);
  if (mount?.type !== 'aufs') {
    throw new StoreError('ERR_MOUNT_FAILED', 'the kernel accepted the mount and does not list it', { subject: target });
  }
  const found = kernel.aufsBranches(mount);
  if (found === undefined) return;
  const missing = plan.branches.findIndex((path, index) => found[index]?.path !== path);
  if (missing < 0 && found.length === plan.branches.length) return;
  throw new StoreError(
    'ERR_MOUNT_FAILED',
    `aufs shows ${found.length} branches of ${plan.branches.length}, and number ${Math.max(missing, 0)} is another`,
    { subject: target },
  );
}
