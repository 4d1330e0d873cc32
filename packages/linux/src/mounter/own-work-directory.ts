import { join } from 'node:path';
import { UMOUNT_NOFOLLOW } from '../constants.js';
import type { OverlayPlan } from '../mount-plan.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

/**
 * Gives `work/work` of an overlay that was mounted a moment ago to the owner that its plan names. A failure takes the
 * mount away again.
 * @throws SystemError
 */
export function ownWorkDirectory(sys: Syscalls, { upper }: OverlayPlan, point: string): void {
  if (upper?.owner === undefined || (upper.owner.uid === 0 && upper.owner.gid === 0)) return;
  const { uid, gid } = upper.owner;
  try {
    sys.fchownat(AT_FDCWD, join(upper.work, 'work'), uid, gid, 0);
  } catch (error) {
    // fuse-overlayfs makes no such directory.
    if (hasErrno(error, 'ENOENT')) return;
    sys.umount(point, UMOUNT_NOFOLLOW);
    throw error;
  }
}
