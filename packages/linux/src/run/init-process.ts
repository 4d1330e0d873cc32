import { StoreError } from '@layerstore/core';
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CLONE_NEWPID, O_RDONLY } from '../constants.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

/**
 * Starts the init process of a run: a small Node program that is process 1 of a new PID namespace, so that the kernel
 * ends everything inside when it ends, and that ends itself as soon as the channel to this process is cut, by whatever.
 */
export function startInit(sys: Syscalls, stdio: 'inherit' | 'pipe'): ChildProcess {
  const own = sys.openat(AT_FDCWD, '/proc/thread-self/ns/pid', O_RDONLY);
  try {
    // The namespace is for the next child of this thread; no other is started before it is left again.
    sys.unshare(CLONE_NEWPID);
    try {
      return spawn(process.execPath, ['--no-warnings', initScript()], {
        stdio: [stdio, stdio, stdio, 'ipc'],
        env: {},
        cwd: '/',
      });
    } finally {
      sys.setns(own, CLONE_NEWPID);
    }
  } catch (cause) {
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'a PID namespace cannot be made', { cause });
  } finally {
    sys.close(own);
  }
}

function initScript(): string {
  return fileURLToPath(new URL('../../dist/workers/run-in-root.js', import.meta.url));
}
