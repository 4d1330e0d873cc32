/**
 * Views by the kernel's own aufs: a list of branches in the mount data.
 *
 * Source: Documentation/filesystems/aufs of the aufs project; seed 001 for the options.
 */
import type { AufsPlan } from '../mount-plan.js';
import type { Syscalls } from '../syscalls.js';
import { MAX_OPTION_BYTES } from './overlay-options.js';
import { OverlayFailure } from './overlay-failure.js';

/** The file of inode numbers is unlinked at once, so every mount can name the same. */
const inodeNumbers = 'xino=/dev/shm/aufs.xino';

/** @throws OverlayFailure */
export function mountAufs(sys: Syscalls, plan: AufsPlan, target: string): void {
  const branches = plan.branches.map((path, index) => `${path}=${index === 0 && plan.writable ? 'rw' : 'ro+wh'}`);
  const data = [`br:${branches.join(':')}`, 'dio', inodeNumbers, ...plan.options].join(',');
  const size = Buffer.byteLength(data);
  if (size > MAX_OPTION_BYTES) {
    throw new OverlayFailure(
      undefined,
      `the options take ${size} bytes, mount(2) passes on ${MAX_OPTION_BYTES}`,
      false,
    );
  }
  try {
    sys.mount('none', target, 'aufs', 0, data);
  } catch (error) {
    throw new OverlayFailure(error, '', false);
  }
}
