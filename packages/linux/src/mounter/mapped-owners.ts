import type { IdMaps } from '@layerstore/core';
import { hasErrno } from '../native/errno.js';
import { nativeSyscalls } from '../native-syscalls.js';
import type { Syscalls } from '../syscalls.js';
import { openMapped } from './open-directory.js';
import { openUserNamespace } from './user-namespace.js';

const anyMap: IdMaps = {
  uids: [{ container: 0, host: 100_000, size: 65_536 }],
  gids: [{ container: 0, host: 100_000, size: 65_536 }],
};

/**
 * Can the kernel show the files of a directory with mapped owners, as plans with `idMaps` ask? Tried: it depends on the
 * file system (ext4, xfs, btrfs since Linux 5.12 to 5.15, tmpfs since 6.3). Cost: a process, some 5 ms.
 * @throws StoreError ERR_MISSING_PREREQUISITE when no user namespace can be made
 */
export async function canMapOwners(directory: string, syscalls: Syscalls = nativeSyscalls()): Promise<boolean> {
  const userNamespace = await openUserNamespace(syscalls, anyMap);
  try {
    syscalls.close(openMapped(syscalls, directory, userNamespace));
    return true;
  } catch (error) {
    if (hasErrno(error, 'EINVAL', 'EPERM', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP')) return false;
    throw error;
  } finally {
    syscalls.close(userNamespace);
  }
}
