import type { ErrorRecord } from '@layerstore/core';
import type { Job } from './jobs.js';

/** To a thread: one job at a time. */
export interface StartMessage {
  readonly id: number;
  readonly job: Job;
  /** One Int32; not 0 asks the job to stop. */
  readonly stop: SharedArrayBuffer;
}

/** From a thread. */
export type ThreadMessage =
  | { readonly kind: 'progress'; readonly id: number; readonly done: number }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorRecord };
