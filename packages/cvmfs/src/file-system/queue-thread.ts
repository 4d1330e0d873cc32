import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { nativeSyscalls, serveFuseQueue } from '@layerstore/linux';
import type { RepositoryLimits } from '../configuration/configuration.js';
import { LocalObjects } from '../objects/local-objects.js';
import { LazyFileSystem } from './lazy-file-system.js';
import type { Hint, PinMessage } from './need.js';
import { appendNode } from './node-journal.js';
import { NodeTable, type NodeTableMemory } from './node-table.js';
import { OpenRevisions } from './open-revisions.js';

/** What a thread that serves a queue is started with; fit for `postMessage`. */
export interface QueueThreadStart {
  readonly device: number;
  readonly journal: number;
  readonly generation: number;
  readonly memory: NodeTableMemory;
  readonly cacheDirectory: string;
  readonly limits: Partial<RepositoryLimits> | undefined;
  readonly linkVariables: Readonly<Record<string, string>> | undefined;
  readonly passthroughFrom: number | undefined;
  /** See `LazyFileSystemOptions.recording`. */
  readonly recording: Int32Array;
}

/** Serves a queue of the mount until it has gone. Nothing but messages leads out of this thread, and none is waited for. */
export function serveQueue(start: QueueThreadStart): void {
  const port = parentPort;
  if (port === null) return;
  const sys = nativeSyscalls();
  const { device, journal, generation, limits, linkVariables, passthroughFrom } = start;
  const local = new LocalObjects(start.cacheDirectory);
  const fileSystem = new LazyFileSystem({
    sys,
    nodes: new NodeTable(start.memory, (parent, name) => appendNode(sys, journal, parent, name)),
    revisions: new OpenRevisions({ local, limits, linkVariables, receive: () => received(port) }),
    local,
    passthroughFrom,
    hint: (hint: Hint) => port.postMessage(hint),
    recording: start.recording,
  });
  serveFuseQueue(sys, { device, fileSystem, generation, tell: (message) => port.postMessage(message) });
}

function* received(port: NonNullable<typeof parentPort>): Generator<PinMessage> {
  for (;;) {
    const received = receiveMessageOnPort(port) as { message: PinMessage } | undefined;
    if (received === undefined) return;
    yield received.message;
  }
}
