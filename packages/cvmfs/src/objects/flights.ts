import { StoreError, throwIfAborted } from '@layerstore/core';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

/** Work in progress by its key: whoever wants the same joins it, and when nobody waits any more it is given up. */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** @throws StoreError ERR_ABORTED when `signal` fires; the others still get their result */
  async join(key: string, signal: AbortSignal | undefined, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    const flight = this.#flights.get(key) ?? this.#begin(key, begin);
    flight.waiting += 1;
    try {
      return await (signal === undefined ? flight.result : untilAborted(flight.result, signal));
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.controller.abort();
      }
    }
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const flight = { result: begin(controller.signal), controller, waiting: 0 };
    this.#flights.set(key, flight);
    // Whoever waits is told; a flight that everybody left fails without a witness.
    flight.result.catch(() => undefined);
    return flight;
  }
}

async function untilAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  const ended = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal.reason }));
    signal.addEventListener('abort', onAbort, { once: true, signal: ended.signal });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    ended.abort();
  }
}
