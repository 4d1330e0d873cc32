import { existsSync } from 'node:fs';
import { readMountTable, type MountTableEntry } from './mount-table.js';
import { readAufsBranches, type AufsBranch } from './mounter/aufs-branches.js';

/**
 * What the kernel tells about its mounts. The mounter asks here and nowhere else, so that a test can stand in for a kernel
 * that its machine does not have.
 */
export interface KernelTables {
  /** Every mount that the calling thread sees; of two on one point the later lies above. */
  mounts(): MountTableEntry[];
  /** The branches of a mounted aufs, uppermost first; `undefined` where the kernel does not tell. */
  aufsBranches(mount: MountTableEntry): readonly AufsBranch[] | undefined;
  /** SELinux is switched on: mounts take labels. */
  takesLabels(): boolean;
}

export const kernelTables: KernelTables = {
  mounts: () => readMountTable('/proc/thread-self/mountinfo'),
  aufsBranches: (mount) => readAufsBranches(mount),
  // A kernel that was started with SELinux off has neither the directory nor the option `context=`.
  takesLabels: () => existsSync('/sys/fs/selinux/enforce'),
};
