/** The entry of the thread that owns a root for the containerd server: its database, its driver, and the workers that it starts. */
import { parentPort, workerData } from 'node:worker_threads';
import { StoreError, toErrorRecord, type LogFields, type Logger } from '@layerstore/core';
import { LayerStore } from '@layerstore/store';
import { snapshotLayer } from '../containerd/labels.js';
import { SnapshotCalls } from '../containerd/snapshot-calls.js';
import type { FromStore, StoreThreadOptions, ToStore } from '../containerd/store-messages.js';

/** One for commits that wait for the disk, one to delete, one to measure. */
const threads = 3;

/** Drivers whose layers containerd can mount and unpack into by itself. */
const served: readonly string[] = ['overlay2', 'vfs'];

const port = parentPort;
if (port === null) throw new Error('containerd-store.js runs in a worker thread only');

const send = (message: FromStore): void => {
  port.postMessage(message);
};

/** Errors do not survive the way between threads: they travel as records. */
function logAt(level: 'debug' | 'info' | 'warn' | 'error'): Logger['info'] {
  return (fields, message) => {
    const plain: LogFields = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? toErrorRecord(value) : value]),
    );
    send({ kind: 'log', level, fields: plain, message });
  };
}

const logger: Logger = { debug: logAt('debug'), info: logAt('info'), warn: logAt('warn'), error: logAt('error') };

async function run(options: StoreThreadOptions): Promise<void> {
  const store = await LayerStore.open({
    root: options.root,
    threads,
    records: 'remembered',
    logger,
    ...(options.driver === undefined ? {} : { driver: options.driver }),
    ...(options.storageOptions === undefined ? {} : { storageOptions: options.storageOptions }),
  });
  if (!served.includes(store.driverName)) await refuseDriver(store);
  const recovery = await store.snapshots.recover(snapshotLayer);
  const calls = new SnapshotCalls(store);
  port?.on('message', (message: ToStore) => {
    if (message.kind === 'close') void close(store);
    else void answer(calls, message);
  });
  send({ kind: 'ready', driver: store.driverName, recovery });
}

async function refuseDriver(store: LayerStore): Promise<never> {
  const { driverName, root } = store;
  await store.close();
  throw new StoreError('ERR_NOT_SUPPORTED', `containerd cannot use layers of the driver ${driverName}`, {
    subject: root,
    hint: `give a root with one of the drivers ${served.join(', ')}`,
  });
}

async function answer(calls: SnapshotCalls, { id, method, argument }: ToStore & { kind: 'call' }): Promise<void> {
  try {
    const result = await (calls[method] as (argument: unknown) => Promise<unknown>).call(calls, argument);
    send({ kind: 'result', id, result });
  } catch (error) {
    send({ kind: 'error', id, error: toErrorRecord(error) });
  }
}

async function close(store: LayerStore): Promise<void> {
  try {
    await store.close();
  } catch (error) {
    send({ kind: 'failed', error: toErrorRecord(error) });
  } finally {
    port?.close();
  }
}

run(workerData as StoreThreadOptions).catch((error: unknown) => {
  send({ kind: 'failed', error: toErrorRecord(error) });
  port.close();
});
