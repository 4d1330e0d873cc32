import { channel } from 'node:diagnostics_channel';

/**
 * A message on the diagnostics channel `layerstore:step`: a publication has reached the named step.
 *
 * Subscribers run synchronously inside the step, so a tracer sees the exact order, and a crash test can end the
 * process at that very point. Without subscribers a step costs one property read.
 */
export interface Step {
  /** For example `load.synced`; `docs/on-disk.md` lists them in order. */
  readonly name: string;
  readonly subject: string;
}

const steps = channel('layerstore:step');

/** Announces that a publication reached a step. */
export function reachedStep(name: string, subject: string): void {
  if (steps.hasSubscribers) steps.publish({ name, subject } satisfies Step);
}
