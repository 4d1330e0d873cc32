import { StoreError, throwIfAborted } from '@layerstore/core';

/** Lets so many run at once, in the order in which they came. */
export class Slots {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  /** @throws StoreError ERR_ABORTED */
  async take(signal: AbortSignal | undefined): Promise<Disposable> {
    throwIfAborted(signal);
    if (this.free > 0) this.free -= 1;
    else await this.wait(signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.giveBack();
        held = false;
      },
    };
  }

  private wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(start), 1);
        reject(new StoreError('ERR_ABORTED', 'cancelled', { cause: signal?.reason }));
      };
      const start = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.waiting.push(start);
    });
  }

  private giveBack(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free += 1;
    else next();
  }
}
