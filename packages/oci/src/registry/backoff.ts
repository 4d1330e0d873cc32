import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError, throwIfAborted } from '@layerstore/core';
import type { Patience } from './options.js';

/** Told before each pause: milliseconds, and why. */
export type OnPause = (milliseconds: number, reason: string) => void;

/** The pauses between the attempts at one piece of work. */
export class Backoff {
  private failures = 0;

  constructor(
    private readonly patience: Patience,
    private readonly signal: AbortSignal | undefined,
    private readonly onPause: OnPause | undefined,
  ) {}

  /** Progress was made: what failed before does not count any more. */
  reset(): void {
    this.failures = 0;
  }

  /** Whether one more attempt is due after a failure. */
  get isExhausted(): boolean {
    return this.failures >= this.patience.attempts - 1;
  }

  /**
   * Waits before the next attempt: twice as long each time, up to half of it by chance, so that many clients do not come back at once.
   * @param asked milliseconds that the registry asked for
   * @throws StoreError ERR_ABORTED; ERR_REGISTRY_FAILED when the registry asks for more patience than there is
   */
  async pause(reason: string, asked: number | undefined): Promise<void> {
    throwIfAborted(this.signal);
    const { firstPause, longestPause } = this.patience;
    if (asked !== undefined && asked > longestPause) {
      throw new StoreError('ERR_REGISTRY_FAILED', `${reason}; it asks to wait for ${Math.ceil(asked / 1000)} s`, {
        hint: 'try again after that time',
      });
    }
    const own = Math.min(firstPause * 2 ** this.failures, longestPause);
    const milliseconds = Math.max(asked ?? 0, own * (0.5 + Math.random() / 2));
    this.failures += 1;
    this.onPause?.(milliseconds, reason);
    try {
      await sleep(milliseconds, undefined, this.signal === undefined ? {} : { signal: this.signal });
    } catch (cause) {
      throw new StoreError('ERR_ABORTED', 'cancelled', { cause });
    }
  }
}
