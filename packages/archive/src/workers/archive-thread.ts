import { Worker } from 'node:worker_threads';
import { fromErrorRecord, StoreError } from '@layerstore/core';
import type { Job } from './jobs.js';
import type { StartMessage, ThreadMessage } from './messages.js';

/** How long a cancelled job may take to notice, in milliseconds, before its thread is ended. */
const STOP_WITHIN = 10_000;

interface Running {
  readonly id: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: StoreError) => void;
  readonly onProgress: ((done: number) => void) | undefined;
}

/** One worker thread, which does one job at a time. */
export class ArchiveThread {
  /** False after the thread has ended, whatever the reason. */
  alive = true;
  readonly #worker: Worker;
  #running: Running | undefined;
  #lastId = 0;

  constructor() {
    // The same expression is right from src (tests), from dist, and from the bundle of the command line.
    this.#worker = new Worker(new URL('../../dist/workers/worker.js', import.meta.url), {
      // Descriptors are opened and closed through different interfaces, which Node would warn of.
      trackUnmanagedFds: false,
    });
    this.#worker.unref();
    this.#worker.on('message', (message: ThreadMessage) => this.#receive(message));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(undefined));
  }

  /** The thread keeps the process alive while it works. @throws StoreError of the job, ERR_ABORTED, ERR_INTERNAL */
  async run(job: Job, signal?: AbortSignal, onProgress?: (done: number) => void): Promise<unknown> {
    const stop = new SharedArrayBuffer(4);
    this.#lastId += 1;
    const id = this.#lastId;
    let overdue: NodeJS.Timeout | undefined;
    const abort = (): void => {
      Atomics.store(new Int32Array(stop), 0, 1);
      // A thread inside a long system call hears nothing: it is given up, and ends when the call returns.
      overdue = setTimeout(() => void this.end(new StoreError('ERR_ABORTED', 'cancelled')), STOP_WITHIN);
    };
    this.#worker.ref();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#running = { id, resolve, reject, onProgress };
        this.#worker.postMessage({ id, job, stop } satisfies StartMessage);
        if (signal?.aborted === true) abort();
      });
    } finally {
      clearTimeout(overdue);
      signal?.removeEventListener('abort', abort);
      this.#running = undefined;
      this.#worker.unref();
    }
  }

  /** Ends the thread; a job that is running fails with `reason`. */
  async end(reason = new StoreError('ERR_CLOSED', 'the archive threads were closed')): Promise<void> {
    this.alive = false;
    this.#running?.reject(reason);
    await this.#worker.terminate();
  }

  #receive(message: ThreadMessage): void {
    const running = this.#running;
    if (running === undefined || message.id !== running.id) return;
    switch (message.kind) {
      case 'progress':
        running.onProgress?.(message.done);
        return;
      case 'result':
        running.resolve(message.result);
        return;
      case 'error':
        running.reject(fromErrorRecord(message.error));
    }
  }

  #end(cause: unknown): void {
    this.alive = false;
    this.#running?.reject(
      new StoreError('ERR_INTERNAL', 'the archive thread ended unexpectedly', {
        hint: 'try again; if it repeats, please report it with the archive',
        cause,
      }),
    );
  }
}
