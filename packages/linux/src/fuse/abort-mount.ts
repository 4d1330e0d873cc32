import { MNT_DETACH, MNT_FORCE } from '../constants.js';
import type { MountSyscalls } from '../syscalls.js';

/**
 * Ends a FUSE connection whether its server answers or not, and unmounts it: who waits gets ECONNABORTED, later calls on
 * what is still open or mounted elsewhere ENOTCONN. The kernel does it before it looks at who uses the mount.
 * @param target the mount point, or any other mount of the same file system
 */
export function abortFuseMount(sys: MountSyscalls, target: string): void {
  sys.umount(target, MNT_FORCE | MNT_DETACH);
}
