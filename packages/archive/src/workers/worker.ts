/** The entry of an archive thread. */
import { parentPort } from 'node:worker_threads';
import { toErrorRecord } from '@layerstore/core';
import { JobControl } from './job-control.js';
import type { StartMessage, ThreadMessage } from './messages.js';
import { runJob } from './run-job.js';

const port = parentPort;
if (port === null) throw new Error('worker.js runs in a worker thread only');

const send = (message: ThreadMessage): void => {
  port.postMessage(message);
};

port.on('message', ({ id, job, stop }: StartMessage) => {
  try {
    const control = new JobControl(new Int32Array(stop), (done) => send({ kind: 'progress', id, done }));
    send({ kind: 'result', id, result: runJob(job, control) });
  } catch (error) {
    send({ kind: 'error', id, error: toErrorRecord(error) });
  }
});
