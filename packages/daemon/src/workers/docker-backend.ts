/** The entry of the thread in which the Docker plugin's driver works. */
import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '@layerstore/core';
import type { BackendAnswer, BackendMessage, BackendOptions } from '../docker/backend-calls.js';
import { GraphBackend } from '../docker/backend/graph-backend.js';
import { serveCalls } from '../docker/backend/serve-calls.js';
import { forwardingLogger } from '../docker/backend/forwarding-logger.js';

const port = parentPort;
if (port === null) throw new Error('docker-backend.js runs in a worker thread only');

const send = (answer: BackendAnswer): void => port.postMessage(answer);
try {
  const backend = await GraphBackend.start(workerData as BackendOptions, forwardingLogger(send));
  const receive = serveCalls(backend, send, () => port.close());
  port.on('message', (message: BackendMessage) => receive(message));
  send({ kind: 'ready' });
} catch (error) {
  send({ kind: 'failed', error: toErrorRecord(error) });
}
