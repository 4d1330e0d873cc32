import { StoreError, throwIfAborted } from '@layerstore/core';

export type Urgency = 'demand' | 'prefetch';

interface Waiting {
  enter(): void;
}

/** So many at the same time; those that somebody waits for before those that are only expected. */
export class Slots {
  #free: number;
  readonly #queues: Readonly<Record<Urgency, Set<Waiting>>> = { demand: new Set(), prefetch: new Set() };

  constructor(count: number) {
    this.#free = count;
  }

  /** @throws StoreError ERR_ABORTED */
  async take<T>(urgency: Urgency, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(urgency, signal);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  #turn(urgency: Urgency, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues[urgency];
      const giveUp = (): void => {
        queue.delete(waiting);
        reject(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal?.reason }));
      };
      const waiting: Waiting = {
        enter: () => {
          signal?.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      queue.add(waiting);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** A slot goes from one to the next without becoming free in between. */
  #pass(): void {
    for (const queue of [this.#queues.demand, this.#queues.prefetch]) {
      const [next] = queue;
      if (next === undefined) continue;
      queue.delete(next);
      next.enter();
      return;
    }
    this.#free += 1;
  }
}
