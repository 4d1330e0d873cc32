import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { fromErrorRecord, StoreError, type ErrorRecord } from '@layerstore/core';
import type { Job } from './jobs.js';
import type { StartMessage, ThreadMessage } from './messages.js';

/** How long a cancelled job may take to notice, in milliseconds, before its thread is ended. */
const STOP_WITHIN = 10_000;
/** How long to wait for a thread that is being ended: one inside a system call ends when that returns. */
const END_WITHIN = 1_000;
/** MiB. Buffers are outside; ten million directories of one layer would need more, and fail with ERR_INTERNAL. */
const HEAP = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 8 } as const;

/** The same expression is right from src (tests), from dist, and from the bundle of the command line. */
const ENTRY = new URL('../../dist/workers/worker.js', import.meta.url);

interface Running {
  readonly id: number;
  /** One Int32, shared with the thread. */
  readonly stop: SharedArrayBuffer;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: StoreError) => void;
  readonly onProgress: ((done: number) => void) | undefined;
  /** Why it was asked to stop. */
  stopped?: StoreError;
}

/** One worker thread, which does one job at a time. */
export class ArchiveThread {
  /** False after the thread has ended, whatever the reason. */
  alive = true;
  readonly #worker: Worker;
  #running: Running | undefined;
  /** Settles when the last job has ended, however it did. */
  #idle: Promise<unknown> = Promise.resolve();
  #ending = false;
  #lastId = 0;

  /** @param entry the module that the thread runs */
  constructor(entry = ENTRY) {
    this.#worker = new Worker(entry, {
      // Descriptors are opened and closed through different interfaces, which Node would warn of.
      trackUnmanagedFds: false,
      resourceLimits: HEAP,
      // Options that the process was started with (`node --input-type=module -e`) would stop the thread from starting.
      execArgv: [],
    });
    this.#worker.unref();
    this.#worker.on('message', (message: ThreadMessage) => this.#receive(message));
    this.#worker.on('error', (error) => this.#lost(error));
    this.#worker.on('exit', () => this.#lost(undefined));
  }

  /**
   * The thread keeps the process alive while it works.
   * @throws StoreError of the job, ERR_ABORTED, ERR_INTERNAL; only after the job has cleaned up behind itself
   */
  async run(job: Job, signal?: AbortSignal, onProgress?: (done: number) => void): Promise<unknown> {
    const result = this.#start(job, onProgress);
    this.#idle = result.catch(() => undefined);
    const abort = (): void => this.#stop(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal?.reason }));
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
    this.#worker.ref();
    try {
      return await result;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#worker.unref();
    }
  }

  /** Stops the running job, waits for it to clean up, and ends the thread. */
  async close(): Promise<void> {
    this.#stop(new StoreError('ERR_CLOSED', 'the archive threads were closed'));
    await this.#idle;
    await this.#end();
  }

  #start(job: Job, onProgress: ((done: number) => void) | undefined): Promise<unknown> {
    const id = (this.#lastId += 1);
    const stop = new SharedArrayBuffer(4);
    const result = new Promise((resolve, reject) => {
      this.#running = { id, stop, resolve, reject, onProgress };
      if (this.alive) this.#worker.postMessage({ id, job, stop } satisfies StartMessage);
      else reject(lost(undefined));
    });
    return result.finally(() => (this.#running = undefined));
  }

  /** Asks the running job to stop. One that does not hear it, because it has no chunks, loses its thread. */
  #stop(reason: StoreError): void {
    const running = this.#running;
    if (running === undefined) return;
    running.stopped = reason;
    const flag = new Int32Array(running.stop);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
    const giveUp = setTimeout(() => void this.#end().then(() => running.reject(reason)), STOP_WITHIN);
    void this.#idle.then(() => clearTimeout(giveUp));
  }

  async #end(): Promise<void> {
    this.#ending = true;
    this.alive = false;
    await Promise.race([this.#worker.terminate(), delay(END_WITHIN, undefined, { ref: false })]);
  }

  #receive(message: ThreadMessage): void {
    const running = this.#running;
    if (running === undefined || message.id !== running.id) return;
    if (message.kind === 'progress') running.onProgress?.(message.done);
    else if (message.kind === 'result') running.resolve(message.result);
    else running.reject(this.#failure(running, message.error));
  }

  #failure(running: Running, record: ErrorRecord): StoreError {
    return record.code === 'ERR_ABORTED' && running.stopped !== undefined ? running.stopped : fromErrorRecord(record);
  }

  #lost(cause: unknown): void {
    this.alive = false;
    if (!this.#ending) this.#running?.reject(lost(cause));
  }
}

function lost(cause: unknown): StoreError {
  return new StoreError('ERR_INTERNAL', 'the archive thread ended unexpectedly', {
    hint: 'try again; if it repeats, please report it with the archive',
    cause,
  });
}
