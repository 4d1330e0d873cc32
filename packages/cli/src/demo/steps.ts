import { fromSystemError, throwIfAborted } from '@layerstore/core';
import type { Operation } from '../session.js';

/** One row of the table at the end. */
export interface StepRecord {
  readonly step: string;
  /** Bytes of what it read or made, where that says something. */
  readonly size?: number;
  readonly seconds: number;
}

/** Reports on a step while it runs. */
export interface RunningStep {
  /** Bytes of what the step read or made, for the table. */
  size: number | undefined;
  /** What it is doing right now. */
  detail(text: string): void;
  advance(done: number, total?: number): void;
}

/** Runs the steps of the demo one after the other, shows them as tasks and measures them. */
export class Steps {
  readonly records: StepRecord[] = [];

  constructor(private readonly operation: Operation) {}

  /** @throws StoreError of the work; ERR_ABORTED */
  async run<T>(title: string, work: (step: RunningStep) => Promise<T>): Promise<T> {
    const { signal, onProgress } = this.operation;
    throwIfAborted(signal);
    const task = `step:${this.records.length}`;
    const step: RunningStep = {
      size: undefined,
      detail: (text) => onProgress({ kind: 'start', task, label: `${title}: ${text}` }),
      advance: (done, total) => onProgress({ kind: 'advance', task, done, ...(total === undefined ? {} : { total }) }),
    };
    onProgress({ kind: 'start', task, label: title });
    const begin = performance.now();
    try {
      const result = await work(step);
      const seconds = (performance.now() - begin) / 1000;
      onProgress({ kind: 'end', task, label: title, outcome: 'done' });
      this.records.push({ step: title, seconds, ...(step.size === undefined ? {} : { size: step.size }) });
      return result;
    } catch (error) {
      onProgress({ kind: 'end', task, label: title, outcome: 'failed' });
      throw fromSystemError(error);
    }
  }
}
