/**
 * A file that one thread writes while another reads it. How far it has come stands in shared memory: the reader waits there for more,
 * and learns there whether more will come.
 */
import { StoreError } from '@layerstore/core';
import type { JobControl } from './job-control.js';

/** How often a waiting reader looks for a cancellation, in milliseconds. */
const WAIT = 50;

const COMPLETE = 1;
const FAILED = 2;

/** The bytes that are there, and behind them the state: 0 while it grows. */
const POSITION_SIZE = BigInt64Array.BYTES_PER_ELEMENT;

/** The writer's side. Bytes are in the file before they are announced. */
export class FileGrowth {
  /** Goes to the reader as `growth` of its source. */
  readonly memory = new SharedArrayBuffer(POSITION_SIZE + Int32Array.BYTES_PER_ELEMENT);
  readonly #position = new BigInt64Array(this.memory, 0, 1);
  readonly #state = new Int32Array(this.memory, POSITION_SIZE, 1);

  /** All bytes before `position` are there. */
  announce(position: number): void {
    Atomics.store(this.#position, 0, BigInt(position));
    Atomics.notify(this.#position, 0);
  }

  /** No more will come: the file is complete. */
  complete(): void {
    this.#change(COMPLETE);
  }

  /** No more will come, though there should. */
  fail(): void {
    this.#change(FAILED);
  }

  #change(state: number): void {
    Atomics.store(this.#state, 0, state);
    Atomics.notify(this.#position, 0);
  }
}

/** The reader's side. */
export class GrowthWatch {
  readonly #position: BigInt64Array;
  readonly #state: Int32Array;

  constructor(
    memory: SharedArrayBuffer,
    private readonly control: JobControl,
  ) {
    this.#position = new BigInt64Array(memory, 0, 1);
    this.#state = new Int32Array(memory, POSITION_SIZE, 1);
  }

  /**
   * Waits until there is more than `position` bytes, and says how many more; 0 at the end of a complete file.
   * @throws StoreError ERR_ABORTED; ERR_INTERNAL when the writer failed, whose own error says why
   */
  bytesBeyond(position: number): number {
    for (;;) {
      // The state is read first: what was announced before the end is still there after it.
      const state = Atomics.load(this.#state, 0);
      const there = Atomics.load(this.#position, 0);
      if (there > BigInt(position)) return Number(there) - position;
      if (state === COMPLETE) return 0;
      if (state === FAILED) throw new StoreError('ERR_INTERNAL', 'what writes the file has failed');
      this.control.check();
      Atomics.wait(this.#position, 0, there, WAIT);
    }
  }
}
