import { parentPort, workerData } from 'node:worker_threads';
import { CLONE_FS } from '../constants.js';
import type { RelativeMount, RelativeMountFailure } from '../mounter/relative-mount.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { SystemError } from '../syscalls.js';

/** The entry of the thread that `mountFromDirectory` starts. */
function mount({ directory, source, target, type, data }: RelativeMount): RelativeMountFailure {
  const sys = nativeSyscalls();
  try {
    sys.unshare(CLONE_FS);
    sys.chdir(directory);
    sys.mount(source, target, type, 0, data);
    return undefined;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const { code, errno, syscall, path } = error;
    return { code, errno, syscall, ...(path === undefined ? {} : { path }) };
  }
}

parentPort?.postMessage(mount(workerData as RelativeMount));
