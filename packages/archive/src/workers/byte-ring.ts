import { StoreError } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';
import type { JobControl } from './job-control.js';

/** Enough to even out the two sides; small enough to stay in the cache of a core. */
const SLOTS = 8;
export const SLOT_SIZE = 256 * 1024;
/** How often a waiting side looks for a cancellation, in milliseconds. */
const WAIT = 50;

/** Int32 cells at the start of the shared memory; behind them the length of each slot. */
const WRITTEN = 0;
const TAKEN = 1;
const STATE = 2;
const LENGTHS = 3;
const CELLS = LENGTHS + SLOTS;

const OPEN = 0;
/** The writer has put everything. */
const ENDED = 1;
/** The writer has failed. */
const FAILED = 2;
/** The reader wants no more. */
const CLOSED = 3;

/** Shared memory for one {@link RingWriter} and one {@link RingReader}. */
export function makeRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(CELLS * 4 + SLOTS * SLOT_SIZE);
}

class Ring {
  protected readonly cells: Int32Array;
  private readonly memory: Buffer;

  constructor(
    ring: SharedArrayBuffer,
    protected readonly control: JobControl,
  ) {
    this.cells = new Int32Array(ring, 0, CELLS);
    this.memory = Buffer.from(ring, CELLS * 4);
  }

  protected slot(number: number): Buffer {
    const start = (number % SLOTS) * SLOT_SIZE;
    return this.memory.subarray(start, start + SLOT_SIZE);
  }

  protected read(cell: number): number {
    return Atomics.load(this.cells, cell);
  }

  /** Waits while `cell` holds `value`. @throws StoreError ERR_ABORTED */
  protected waitWhile(cell: number, value: number): void {
    this.control.check();
    Atomics.wait(this.cells, cell, value, WAIT);
  }

  protected setState(state: number): void {
    changeState(this.cells, state);
  }
}

/** Tells both sides that one of them is gone, whatever became of its thread. */
export function abandonRing(ring: SharedArrayBuffer, side: 'writer' | 'reader'): void {
  changeState(new Int32Array(ring, 0, CELLS), side === 'writer' ? FAILED : CLOSED);
}

/** The first change counts. Both sides are woken: either may wait for the other's cell. */
function changeState(cells: Int32Array, state: number): void {
  Atomics.compareExchange(cells, STATE, OPEN, state);
  Atomics.notify(cells, WRITTEN);
  Atomics.notify(cells, TAKEN);
}

/** The side that puts bytes in. */
export class RingWriter extends Ring {
  /** False when the reader wants no more: the rest may be left out. @throws StoreError ERR_ABORTED */
  put(chunk: Buffer): boolean {
    for (let offset = 0; offset < chunk.length; offset += SLOT_SIZE) {
      const number = this.read(WRITTEN);
      for (let taken = this.read(TAKEN); number - taken === SLOTS; taken = this.read(TAKEN)) {
        if (this.read(STATE) === CLOSED) return false;
        this.waitWhile(TAKEN, taken);
      }
      if (this.read(STATE) === CLOSED) return false;
      const length = chunk.copy(this.slot(number), 0, offset, offset + SLOT_SIZE);
      Atomics.store(this.cells, LENGTHS + (number % SLOTS), length);
      Atomics.store(this.cells, WRITTEN, number + 1);
      Atomics.notify(this.cells, WRITTEN);
    }
    return true;
  }

  end(): void {
    this.setState(ENDED);
  }

  fail(): void {
    this.setState(FAILED);
  }
}

/** The side that takes bytes out; each chunk is valid until the next. */
export class RingReader extends Ring implements Disposable {
  /** @throws StoreError ERR_ABORTED; ERR_INTERNAL when the writer failed, whose own error says why */
  *chunks(): ByteSource {
    for (let number = 0; ; number += 1) {
      while (this.read(WRITTEN) === number) {
        // The state is read first: what was put before the end is still there after it.
        const state = this.read(STATE);
        if (this.read(WRITTEN) !== number) break;
        if (state === ENDED) return;
        if (state === FAILED) throw new StoreError('ERR_INTERNAL', 'the other half of the job failed');
        this.waitWhile(WRITTEN, number);
      }
      yield this.slot(number).subarray(0, Atomics.load(this.cells, LENGTHS + (number % SLOTS)));
      Atomics.store(this.cells, TAKEN, number + 1);
      Atomics.notify(this.cells, TAKEN);
    }
  }

  [Symbol.dispose](): void {
    this.setState(CLOSED);
  }
}
