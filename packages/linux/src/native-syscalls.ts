import { fileCalls } from './native/file-calls.js';
import { fuseCalls } from './native/fuse-calls.js';
import { loadLibc } from './native/libc.js';
import { mountCalls } from './native/mount-calls.js';
import { xattrCalls } from './native/xattr-calls.js';
import type { Syscalls } from './syscalls.js';

let native: Syscalls | undefined;

/**
 * The kernel itself. The first call in a thread loads koffi (5 to 10 ms), later ones return the same object; it belongs
 * to its thread and is not passed to others. Each kernel call costs 60 to 350 ns more than in C.
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM off 64-bit Linux
 * @throws StoreError ERR_MISSING_PREREQUISITE when koffi is not installed
 */
export function nativeSyscalls(): Syscalls {
  native ??= load();
  return native;
}

function load(): Syscalls {
  const libc = loadLibc();
  return { ...fileCalls(libc), ...xattrCalls(libc), ...mountCalls(libc), ...fuseCalls(libc) };
}
