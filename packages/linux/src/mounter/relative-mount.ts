import { StoreError } from '@layerstore/core';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SystemError } from '../syscalls.js';

/** mount(2) with a working directory of its own: relative paths in `data` start at `directory`. */
export interface RelativeMount {
  readonly directory: string;
  readonly source: string;
  /** Absolute. */
  readonly target: string;
  readonly type: string;
  readonly data: string;
}

/** What the worker answers: `undefined` for success. */
export type RelativeMountFailure = Pick<SystemError, 'code' | 'errno' | 'syscall' | 'path'> | undefined;

/**
 * Mounts in a thread of its own, because a working directory belongs to all threads of a process until one of them
 * gives it up (unshare(2), CLONE_FS), and taking it from this thread would mislead others. Cost: one thread, 30 to 50
 * ms.
 * @throws SystemError
 */
export async function mountFromDirectory(mount: RelativeMount): Promise<void> {
  const worker = new Worker(new URL('../../dist/workers/relative-mount.js', import.meta.url), {
    workerData: mount,
    execArgv: [],
    trackUnmanagedFds: false,
  });
  let answer: { readonly failure: RelativeMountFailure } | undefined;
  worker.on('message', (failure: RelativeMountFailure) => {
    answer = { failure };
  });
  await once(worker, 'exit');
  if (answer === undefined) throw new StoreError('ERR_INTERNAL', 'the mounting thread ended without an answer');
  const { failure } = answer;
  if (failure !== undefined) throw new SystemError(failure.code, failure.errno, failure.syscall, failure.path);
}
