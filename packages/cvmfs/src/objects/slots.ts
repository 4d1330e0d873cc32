import { StoreError, throwIfAborted } from '@layerstore/core';

export type Urgency = 'demand' | 'prefetch';

interface Waiting {
  enter(): void;
}

/** So many at the same time; those that somebody waits for before those that are only expected. */
export class Slots {
  #free: number;
  readonly #queues: Readonly<Record<Urgency, Map<string, Waiting>>> = { demand: new Map(), prefetch: new Map() };

  constructor(count: number) {
    this.#free = count;
  }

  /** @param key names the work; no two wait under one. @throws StoreError ERR_ABORTED */
  async take<T>(key: string, urgency: Urgency, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(key, urgency, signal);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  /** What was only expected is wanted now: it goes before the others of its kind. */
  hurry(key: string): void {
    const waiting = this.#queues.prefetch.get(key);
    if (waiting === undefined) return;
    this.#queues.prefetch.delete(key);
    this.#queues.demand.set(key, waiting);
  }

  #turn(key: string, urgency: Urgency, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        for (const queue of Object.values(this.#queues)) queue.delete(key);
        reject(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal.reason }));
      };
      const enter = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#queues[urgency].set(key, { enter });
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** A slot goes from one to the next without becoming free in between. */
  #pass(): void {
    for (const queue of [this.#queues.demand, this.#queues.prefetch]) {
      const [next] = queue;
      if (next === undefined) continue;
      const [key, waiting] = next;
      queue.delete(key);
      waiting.enter();
      return;
    }
    this.#free += 1;
  }
}
