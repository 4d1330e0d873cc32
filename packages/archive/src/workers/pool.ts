import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { silentLogger, StoreError, throwIfAborted, type Logger } from '@layerstore/core';
import { ArchiveThread } from './archive-thread.js';
import type { Job, JobKind, JobResult } from './jobs.js';
import { applyInPair, commitInPair } from './paired-jobs.js';

export interface ArchiveWorkersOptions {
  /** Default: one per core, four at most. */
  readonly threads?: number;
  /** Threads that stay when there is nothing to do; default: all that have started. */
  readonly idle?: number;
  readonly logger?: Logger;
  /**
   * Where small jobs run as long as no thread has been started: in a `thread` (default), or in that of the `caller`, which blocks its
   * event loop for up to a second but saves the start of a thread. For processes that end with their work.
   */
  readonly smallJobs?: 'thread' | 'caller';
}

export interface RunJobOptions {
  readonly signal?: AbortSignal;
  /** Receives the bytes done so far, some twenty times a second. */
  readonly onProgress?: (done: number) => void;
  /** Lets an `apply` or `commit` take two threads, one to make the tar and one to unpack it, if two are free. */
  readonly paired?: boolean;
}

interface Waiting {
  readonly start: (thread: ArchiveThread) => void;
  readonly fail: (error: StoreError) => void;
}

/**
 * Threads for everything that reads or writes archives and trees. They start with the first job and wait idle for the
 * next ones; idle threads do not keep the process alive. Disposing cancels what runs and ends them.
 *
 * Costs about 30 ms for the first job of a thread, and 10 MB a thread.
 */
export class ArchiveWorkers implements AsyncDisposable {
  readonly #limit: number;
  readonly #idleLimit: number;
  readonly #logger: Logger;
  readonly #idle: ArchiveThread[] = [];
  readonly #busy = new Set<ArchiveThread>();
  readonly #waiting: Waiting[] = [];
  /** Small jobs run in the calling thread. */
  #callerHelps: boolean;
  #closed = false;

  constructor(options: ArchiveWorkersOptions = {}) {
    this.#limit = Math.max(1, options.threads ?? Math.min(4, availableParallelism()));
    this.#idleLimit = options.idle ?? this.#limit;
    this.#logger = options.logger ?? silentLogger;
    this.#callerHelps = options.smallJobs === 'caller';
  }

  /**
   * Runs a job when a thread is free, in the order of the calls.
   * @throws StoreError of the job; ERR_ABORTED when `signal` fires; ERR_CLOSED; ERR_INTERNAL when the thread dies
   */
  async run<Kind extends JobKind>(job: Job<Kind>, options: RunJobOptions = {}): Promise<JobResult<Kind>> {
    throwIfAborted(options.signal);
    if (this.#callerHelps) {
      const done = await this.#runHere(job, options.signal);
      if (done !== undefined) return done.result;
    }
    if (options.paired === true && this.#spare >= 2) {
      const paired = this.#runInPair(job, options);
      if (paired !== undefined) return await paired;
    }
    const thread = this.#freeThread() ?? (await this.#wait(options.signal));
    this.#busy.add(thread);
    try {
      const result = await thread.run(job as unknown as Job, options.signal, options.onProgress);
      return revived(job.kind, result) as JobResult<Kind>;
    } finally {
      this.#giveBack(thread);
    }
  }

  /** Cancels what runs, waits until it has cleaned up behind itself, and ends the threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { fail } of this.#waiting.splice(0)) fail(closed());
    await Promise.all([...this.#idle.splice(0), ...this.#busy].map((thread) => thread.close()));
  }

  protected startThread(): ArchiveThread {
    return new ArchiveThread();
  }

  async #runHere<Kind extends JobKind>(
    job: Job<Kind>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly result: JobResult<Kind> } | undefined> {
    const { runBriefly } = await import('./brief-jobs.js');
    if (this.#closed) throw closed();
    const done = await runBriefly(job);
    // Signals that came meanwhile are heard in the next turn of the event loop.
    await setImmediate();
    throwIfAborted(signal);
    return done;
  }

  /** Threads that a job would get at once. */
  get #spare(): number {
    return this.#closed || this.#waiting.length > 0 ? 0 : this.#limit - this.#busy.size;
  }

  /** Both halves get their threads in this turn of the event loop, so neither waits for a thread that the other has. */
  #runInPair(
    job: { readonly kind: JobKind },
    options: RunJobOptions,
  ): Promise<JobResult<'apply' | 'commit'>> | undefined {
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    if (isOf(job, 'apply')) {
      return applyInPair(
        job,
        (feed) => this.run(feed, options),
        (unpack) => this.run(unpack, signal),
      );
    }
    if (isOf(job, 'commit')) {
      return commitInPair(
        job,
        (feed) => this.run(feed, options),
        (unpack) => this.run(unpack, signal),
      );
    }
    return undefined;
  }

  #freeThread(): ArchiveThread | undefined {
    if (this.#closed) throw closed();
    for (let thread = this.#idle.pop(); thread !== undefined; thread = this.#idle.pop()) {
      if (thread.alive) return thread;
      this.#logger.warn({}, 'an archive thread ended while it was idle');
    }
    this.#callerHelps = false;
    return this.#busy.size < this.#limit ? this.startThread() : undefined;
  }

  #wait(signal: AbortSignal | undefined): Promise<ArchiveThread> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal?.reason }));
      };
      const waiting: Waiting = {
        start: (thread) => {
          signal?.removeEventListener('abort', leave);
          resolve(thread);
        },
        fail: (error) => {
          signal?.removeEventListener('abort', leave);
          reject(error);
        },
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
    });
  }

  /** A thread that goes to the next in line stays busy in between, so nobody else starts one in its place. */
  #giveBack(thread: ArchiveThread): void {
    if (!thread.alive) {
      this.#busy.delete(thread);
      if (!this.#closed) this.#logger.warn({}, 'an archive thread was lost and is replaced');
    }
    const next = this.#closed ? undefined : this.#waiting.shift();
    if (next !== undefined) {
      const heir = thread.alive ? thread : this.startThread();
      this.#busy.add(heir);
      next.start(heir);
      return;
    }
    this.#busy.delete(thread);
    if (!thread.alive || this.#closed) return;
    if (this.#idle.length < this.#idleLimit) this.#idle.push(thread);
    else void thread.close();
  }
}

/** A Buffer that crosses to another thread arrives as the Uint8Array that it is based on. */
function revived(kind: JobKind, result: unknown): unknown {
  if (kind !== 'changes') return result;
  return (result as JobResult<'changes'>).map((change) => ({ ...change, path: Buffer.from(change.path) }));
}

function isOf<Kind extends JobKind>(job: { readonly kind: JobKind }, kind: Kind): job is Job<Kind> {
  return job.kind === kind;
}

function closed(): StoreError {
  return new StoreError('ERR_CLOSED', 'the archive threads are closed');
}
