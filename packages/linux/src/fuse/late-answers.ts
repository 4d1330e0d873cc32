import { toErrorRecord, type ErrorRecord } from '@layerstore/core';
import { constants } from 'node:os';
import type { FileSyscalls } from '../syscalls.js';
import { FuseDispatcher } from './dispatcher.js';
import type { FuseFileSystem, NodeNumber } from './file-system.js';
import { isDoomed } from './doomed.js';
import { FuseReply } from './reply.js';
import { FuseRequest } from './request.js';
import type { QueueMessage } from './serve-queue.js';

/** An interrupt can overtake the request that it means; so many are remembered. */
const MAX_INTERRUPTS = 1024;
/** A request that needs something new this often gets nowhere. */
const MAX_NEEDS = 64;

export interface LateAnswersOptions<Need> {
  /** This thread's own instance. */
  readonly fileSystem: FuseFileSystem;
  readonly generation: number;
  /** Brings what a request waits for. A rejection gives the reader EIO; telling why is up to this function. */
  readonly satisfy: (need: Need) => Promise<void>;
  /** An exception of the file system, in any thread. */
  readonly failed: (error: ErrorRecord, node: NodeNumber) => void;
}

/** Between looks at whether a reader that got a signal has been killed: the kernel tells of its first signal only. */
const LOOK_MS = 200;

interface Waiting {
  readonly request: FuseRequest;
  readonly queue: number;
  answered: boolean;
}

/** Completes requests that the threads of the queues put off. The one instance of a server takes the messages of all its threads. */
export class LateAnswers<Need> {
  readonly #waiting = new Map<bigint, Waiting>();
  readonly #interrupts = new Set<bigint>();
  readonly #dispatcher: FuseDispatcher;

  constructor(
    sys: FileSyscalls,
    private readonly options: LateAnswersOptions<Need>,
  ) {
    this.#dispatcher = new FuseDispatcher({
      fileSystem: options.fileSystem,
      reply: new FuseReply(sys, options.generation),
      interrupted: (unique) => this.#interrupt(unique),
      failed: (error, node) => options.failed(toErrorRecord(error), node),
    });
  }

  /** Requests that are waited for. */
  get size(): number {
    return this.#waiting.size;
  }

  take(message: QueueMessage): void {
    switch (message.kind) {
      case 'later':
        void this.#complete(new FuseRequest(message.request), message.queue, message.need as Need);
        break;
      case 'interrupted':
        this.#interrupt(message.unique);
        break;
      case 'failed':
        this.options.failed(message.error, message.node);
    }
  }

  async #complete(request: FuseRequest, queue: number, firstNeed: Need): Promise<void> {
    const waiting: Waiting = { request, queue, answered: false };
    this.#waiting.set(request.unique, waiting);
    if (this.#interrupts.delete(request.unique)) this.#letKilledReaderGo(waiting);
    try {
      let need = firstNeed;
      for (let times = 0; times < MAX_NEEDS; times++) {
        await this.options.satisfy(need);
        if (waiting.answered) return;
        const later = this.#dispatcher.answer(request, queue);
        if (later === undefined) {
          waiting.answered = true;
          return;
        }
        need = later.need as Need;
      }
      this.#refuse(waiting, constants.errno.EIO);
    } catch {
      // Told by `satisfy`.
      this.#refuse(waiting, constants.errno.EIO);
    } finally {
      this.#waiting.delete(request.unique);
    }
  }

  #interrupt(unique: bigint): void {
    const waiting = this.#waiting.get(unique);
    if (waiting !== undefined) {
      this.#letKilledReaderGo(waiting);
      return;
    }
    const [oldest] = this.#interrupts;
    if (this.#interrupts.size >= MAX_INTERRUPTS && oldest !== undefined) this.#interrupts.delete(oldest);
    this.#interrupts.add(unique);
  }

  /**
   * A killed reader stays until it has an answer, which a slow server may never give. One that handles its signal waits
   * on: programs do not expect EINTR from a file. What was begun for either goes on, for the next one who asks.
   */
  #letKilledReaderGo(waiting: Waiting): void {
    if (waiting.answered) return;
    if (isDoomed(waiting.request.process)) this.#refuse(waiting, constants.errno.EINTR);
    else setTimeout(() => this.#letKilledReaderGo(waiting), LOOK_MS).unref();
  }

  #refuse(waiting: Waiting, errno: number): void {
    if (waiting.answered) return;
    waiting.answered = true;
    this.#dispatcher.refuse(waiting.request, waiting.queue, errno);
  }
}
