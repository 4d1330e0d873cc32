import { StoreError } from '@layerstore/core';
import type { ComparisonOptions } from '../diff/comparison.js';

/** At most this often a job reports, in milliseconds: a message costs more than a chunk. */
const REPORT_EVERY = 50;

/** How a running job hears of its cancellation and tells how far it is. */
export class JobControl {
  #done = 0;
  #reported = 0;
  #lastReport = 0;

  /**
   * @param stop set to another value than 0 by the caller's thread
   * @param report receives the bytes done so far
   */
  constructor(
    private readonly stop: Int32Array,
    private readonly report: (done: number) => void,
  ) {}

  /** Called for every chunk. @throws StoreError ERR_ABORTED */
  advance(bytes: number): void {
    this.check();
    this.#done += bytes;
    const now = performance.now();
    if (now - this.#lastReport < REPORT_EVERY) return;
    this.#lastReport = now;
    this.#send();
  }

  /** The same cancellation without counting: for the side of a job that is not its measure. */
  silent(): JobControl {
    return new JobControl(this.stop, () => undefined);
  }

  /** Reports what was not reported yet. */
  finish(): void {
    if (this.#done !== this.#reported) this.#send();
  }

  /** @throws StoreError ERR_ABORTED */
  check(): void {
    if (Atomics.load(this.stop, 0) !== 0) throw new StoreError('ERR_ABORTED', 'cancelled');
  }

  /** Waits that many milliseconds; a cancellation ends it at once. @throws StoreError ERR_ABORTED */
  pause(milliseconds: number): void {
    Atomics.wait(this.stop, 0, 0, milliseconds);
    this.check();
  }

  #send(): void {
    this.#reported = this.#done;
    this.report(this.#done);
  }
}

/** Lets a comparison of trees hear of the cancellation. */
export function watch(control: JobControl): ComparisonOptions {
  return { onStep: () => control.check() };
}
