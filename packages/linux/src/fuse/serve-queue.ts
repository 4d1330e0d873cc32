import { toErrorRecord, type ErrorRecord } from '@layerstore/core';
import { hasErrno } from '../native/errno.js';
import type { Syscalls } from '../syscalls.js';
import { FuseDispatcher } from './dispatcher.js';
import type { FuseFileSystem, NodeNumber } from './file-system.js';
import { openFuseQueue } from './mount-fuse.js';
import { FuseReply } from './reply.js';
import { FuseRequest } from './request.js';

/** What a thread that serves a queue tells the one that completes requests; fit for `postMessage`. */
export type QueueMessage =
  /** A request that needs something first. The answer goes to `queue`. */
  | { readonly kind: 'later'; readonly queue: number; readonly request: Uint8Array; readonly need: unknown }
  | { readonly kind: 'interrupted'; readonly unique: bigint }
  | { readonly kind: 'failed'; readonly node: NodeNumber; readonly error: ErrorRecord };

export interface QueueOptions {
  /** As {@link mountFuse} opened it. */
  readonly device: number;
  readonly fileSystem: FuseFileSystem;
  /** The same number for every thread and every server of a mount. */
  readonly generation: number;
  readonly tell: (message: QueueMessage) => void;
}

/**
 * Serves one queue of a connection until the file system is unmounted everywhere or aborted. Blocks its thread: it
 * belongs into a worker, and a thread that uses the mount itself would wait for itself.
 */
export function serveFuseQueue(sys: Syscalls, { device, fileSystem, generation, tell }: QueueOptions): void {
  const queue = openFuseQueue(sys, device);
  try {
    const request = new FuseRequest();
    const dispatcher = new FuseDispatcher({
      fileSystem,
      reply: new FuseReply(sys, generation),
      interrupted: (unique) => tell({ kind: 'interrupted', unique }),
      failed: (error, node) => tell({ kind: 'failed', node, error: toErrorRecord(error) }),
    });
    while (readRequest(sys, queue, request)) {
      const later = dispatcher.answer(request, queue);
      if (later !== undefined) tell({ kind: 'later', queue, request: request.copy(), need: later.need });
    }
  } finally {
    sys.close(queue);
  }
}

/** @returns false when there will be no more */
function readRequest(sys: Syscalls, queue: number, request: FuseRequest): boolean {
  for (;;) {
    try {
      request.length = sys.read(queue, request.bytes);
      return true;
    } catch (error) {
      if (hasErrno(error, 'ENODEV', 'ECONNABORTED')) return false;
      // ENOENT: the request was taken back while it was read.
      if (!hasErrno(error, 'EINTR', 'EAGAIN', 'ENOENT')) throw error;
    }
  }
}
