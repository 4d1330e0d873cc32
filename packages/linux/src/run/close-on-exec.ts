import { constants } from 'node:os';
import { loadLibc } from '../native/libc.js';

const LAST = 0xffffffff;
const CLOSE_RANGE_CLOEXEC = 4;

/**
 * Keeps descriptors that this process was started with from the programs that it starts: whoever ran the caller may
 * have left a directory of the host open, which would be a way out of the root. Linux before 5.11 cannot; nothing
 * happens there.
 */
export function closeOnExecFrom(first: number): void {
  const libc = loadLibc();
  const closeRange = libc.bindSyscall(436, ['long', 'long', 'long']);
  if (closeRange(first, LAST, CLOSE_RANGE_CLOEXEC) === 0) return;
  const { EINVAL, ENOSYS } = constants.errno;
  if (![EINVAL, ENOSYS].includes(libc.errno())) throw libc.failure('close_range');
}
