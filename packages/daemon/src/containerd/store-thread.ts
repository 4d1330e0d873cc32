import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { fromErrorRecord, StoreError, type Logger } from '@layerstore/core';
import type { Recovery } from '@layerstore/store';
import type { Argument, FromStore, Method, Result, StoreThreadOptions, ToStore } from './store-messages.js';

/** The same expression is right from src (tests), from dist, and from the bundle of the command line. */
const entry = new URL('../../dist/workers/containerd-store.js', import.meta.url);

interface Waiting {
  resolve(result: unknown): void;
  reject(error: StoreError): void;
}

/**
 * The thread that works on a root, so that neither its database nor its disk ever holds up the server's event loop. A call that takes too long is
 * given up by the server; the thread finishes it.
 */
export class StoreThread implements AsyncDisposable {
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #gone: StoreError | undefined;
  /** Resolves when the thread has ended, whatever the reason. */
  readonly ended: Promise<StoreError>;
  #end: (reason: StoreError) => void = () => undefined;
  #ready: ((opened: Opened) => void) | undefined;
  #failed: ((error: StoreError) => void) | undefined;

  private constructor(
    private readonly worker: Worker,
    private readonly logger: Logger,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** Opens the root and takes up what a dead server left. @throws StoreError as LayerStore.open, ERR_STORE_DAMAGED */
  static async open(options: StoreThreadOptions, logger: Logger): Promise<OpenedThread> {
    const worker = new Worker(entry, { workerData: options, trackUnmanagedFds: false, execArgv: [] });
    const thread = new StoreThread(worker, logger);
    const opened = await thread.#start();
    return { thread, ...opened };
  }

  /**
   * Runs a call in the thread.
   * @throws StoreError of the call; ERR_TIMED_OUT after `timeoutMs`; ERR_INTERNAL when the thread has died
   */
  call<Name extends Method>(method: Name, argument: Argument<Name>, timeoutMs: number): Promise<Result<Name>> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        this.#waiting.delete(id);
        reject(timedOut(method, timeoutMs));
      }, timeoutMs);
      this.#waiting.set(id, {
        resolve: (result) => {
          clearTimeout(giveUp);
          resolve(result as Result<Name>);
        },
        reject: (error) => {
          clearTimeout(giveUp);
          reject(error);
        },
      });
      this.#send({ kind: 'call', id, method, argument });
    });
  }

  /** Calls that have begun end; what is being deleted is left to the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#gone !== undefined) return;
    const exited = once(this.worker, 'exit');
    this.#send({ kind: 'close' });
    await exited;
  }

  #start(): Promise<Opened> {
    const opened = new Promise<Opened>((resolve, reject) => {
      this.#ready = resolve;
      this.#failed = reject;
    });
    this.worker.on('message', (message: FromStore) => this.#receive(message));
    this.worker.on('error', (error) => this.#lost(error));
    this.worker.on('exit', () => this.#lost(undefined));
    return opened;
  }

  #send(message: ToStore): void {
    this.worker.postMessage(message);
  }

  #receive(message: FromStore): void {
    switch (message.kind) {
      case 'ready':
        this.#ready?.(message);
        return;
      case 'failed':
        this.logger.error({ error: fromErrorRecord(message.error) }, 'the store cannot be used');
        this.#failed?.(fromErrorRecord(message.error));
        return;
      case 'log':
        this.logger[message.level](message.fields, message.message);
        return;
      case 'result':
        this.#take(message.id)?.resolve(message.result);
        return;
      case 'error':
        this.#take(message.id)?.reject(fromErrorRecord(message.error));
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #lost(cause: unknown): void {
    this.#gone ??= new StoreError('ERR_INTERNAL', 'the store thread has ended', {
      hint: 'restart the server',
      cause,
    });
    this.#failed?.(this.#gone);
    this.#end(this.#gone);
    for (const id of this.#waiting.keys()) this.#take(id)?.reject(this.#gone);
  }
}

interface Opened {
  readonly driver: string;
  readonly recovery: Recovery;
}

export interface OpenedThread extends Opened {
  readonly thread: StoreThread;
}

function timedOut(method: string, timeoutMs: number): StoreError {
  return new StoreError('ERR_TIMED_OUT', `no answer within ${timeoutMs / 1000} seconds`, {
    subject: method,
    hint: 'look for a slow or full disk under the root',
  });
}
