import { Worker } from 'node:worker_threads';
import { fromErrorRecord, StoreError, type Logger } from '@layerstore/core';
import type { BackendAnswer, BackendCall, BackendCalls, BackendMessage, BackendOptions } from './backend-calls.js';

/** The same expression is right from src (tests), from dist, and from the bundle of the command line. */
const ENTRY = new URL('../../dist/workers/docker-backend.js', import.meta.url);

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: StoreError) => void;
}

/**
 * The thread in which the driver works: its calls sync files and mount, and would hold up the streams of all other
 * requests in the thread that speaks the protocol.
 */
export class BackendThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready: Promise<void>;
  readonly #ended: Promise<void>;
  readonly #failed: Promise<StoreError>;
  #closing = false;
  #last = 0;
  #failure: StoreError | undefined;

  private constructor(
    options: BackendOptions,
    private readonly logger: Logger,
  ) {
    this.#worker = new Worker(ENTRY, { workerData: options, trackUnmanagedFds: false, execArgv: [] });
    this.#ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: () => resolve(), reject });
    });
    this.#worker.on('message', (answer: BackendAnswer) => this.#receive(answer));
    this.#worker.on('error', (error) => this.#lose(error));
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#lose(undefined);
        resolve();
      });
    });
    this.#failed = new Promise((resolve) => {
      void this.#ended.then(() => {
        if (this.#failure !== undefined && !this.#closing) resolve(this.#failure);
      });
    });
  }

  /**
   * Starts the thread; where a home is recorded for the socket, it is open and its views are adopted on return.
   * @throws StoreError as `openDriver` does; ERR_BUSY when another process serves the socket or the home
   */
  static async start(options: BackendOptions, logger: Logger): Promise<BackendThread> {
    const thread = new BackendThread(options, logger);
    try {
      await thread.#ready;
    } catch (error) {
      await thread.#worker.terminate();
      throw error;
    }
    return thread;
  }

  /** @throws StoreError of the call; ERR_ABORTED after `signal` has fired; ERR_INTERNAL when the thread is lost */
  async call<Call extends BackendCall>(
    call: Call,
    input: BackendCalls[Call]['input'],
    signal?: AbortSignal,
  ): Promise<BackendCalls[Call]['result']> {
    if (this.#failure !== undefined) throw this.#failure;
    const number = (this.#last += 1);
    const cancel = (): void => this.#send({ kind: 'cancel', number });
    const result = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#send({ kind: 'call', number, call, input });
    });
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted === true) cancel();
    try {
      return (await result) as BackendCalls[Call]['result'];
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Settles when the thread has ended by a fault; after {@link close} never. */
  get failed(): Promise<StoreError> {
    return this.#failed;
  }

  /** Lets what runs come to its end, and ends the thread. What is mounted stays. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#closing = true;
    await this.call('close', undefined);
    await this.#ended;
  }

  #send(message: BackendMessage): void {
    this.#worker.postMessage(message);
  }

  #receive(answer: BackendAnswer): void {
    switch (answer.kind) {
      case 'log':
        this.#log(answer);
        return;
      case 'ready':
        this.#settle(0)?.resolve(undefined);
        return;
      case 'failed':
        this.#settle(0)?.reject(fromErrorRecord(answer.error));
        return;
      case 'result':
        this.#settle(answer.number)?.resolve(answer.result);
        return;
      case 'error':
        this.#settle(answer.number)?.reject(fromErrorRecord(answer.error));
    }
  }

  #log({ level, fields, error, message }: BackendAnswer & { readonly kind: 'log' }): void {
    this.logger[level](error === undefined ? fields : { ...fields, error: fromErrorRecord(error) }, message);
  }

  #settle(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    return waiting;
  }

  #lose(cause: unknown): void {
    this.#failure ??= new StoreError('ERR_INTERNAL', 'the driver thread has ended', {
      hint: 'restart the plugin; if it repeats, please report it with the log',
      ...(cause === undefined ? {} : { cause }),
    });
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
