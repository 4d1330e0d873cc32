import { Worker } from 'node:worker_threads';
import { fromErrorRecord, StoreError, throwIfAborted } from '@layerstore/core';
import type { PublishAnswer, PublishCalls } from './publish-calls.js';

/** The same expression is right from src (tests), from dist, and from the bundle of the command line. */
const ENTRY = new URL('../../dist/workers/publish-layers.js', import.meta.url);

/**
 * Asks one question in a thread of its own, which ends with the answer.
 * @throws StoreError of the call; ERR_ABORTED after `signal` has fired and the thread has ended; ERR_INTERNAL when the thread is lost
 */
export async function inPublishThread<Kind extends keyof PublishCalls>(
  kind: Kind,
  input: PublishCalls[Kind]['input'],
  signal: AbortSignal | undefined,
): Promise<PublishCalls[Kind]['result']> {
  throwIfAborted(signal);
  const worker = new Worker(ENTRY, { workerData: { kind, input }, trackUnmanagedFds: false, execArgv: [] });
  let answer: PublishAnswer | undefined;
  let cause: unknown;
  worker.on('message', (message: PublishAnswer) => (answer = message));
  worker.on('error', (error) => (cause = error));
  const abort = (): void => void worker.terminate();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  if (answer?.kind === 'result') return answer.result as PublishCalls[Kind]['result'];
  if (answer !== undefined) throw fromErrorRecord(answer.error);
  throwIfAborted(signal);
  throw new StoreError('ERR_INTERNAL', 'the publishing thread ended unexpectedly', {
    hint: 'try again; if it repeats, please report it',
    cause,
  });
}
