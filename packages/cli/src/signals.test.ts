import { EventEmitter, once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { StoreError, throwIfAborted } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { listenForSignals, type Interruption } from './signals.js';

/** What a call that waits throws when Ctrl-C comes meanwhile. */
async function failureAfterCtrlC(
  wait: (signal: AbortSignal) => Promise<unknown>,
): Promise<{ error: unknown; interruption: Interruption }> {
  const signals = new EventEmitter();
  const interruption = listenForSignals(signals);
  const failure = wait(interruption.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  signals.emit('SIGINT');
  return { error: await failure, interruption };
}

describe('Ctrl-C explains', () => {
  test.each<[what: string, wait: (signal: AbortSignal) => Promise<unknown>]>([
    ['streams', (signal) => pipeline(new PassThrough(), new Writable(), { signal })],
    ['timers', (signal) => delay(60_000, undefined, { signal })],
    ['events', (signal) => once(new EventEmitter(), 'never', { signal })],
    [
      'calls of this project',
      async (signal) => {
        await once(signal, 'abort');
        throwIfAborted(signal);
      },
    ],
  ])('what %s throw on it', async (_what, wait) => {
    const { error, interruption } = await failureAfterCtrlC(wait);
    expect(interruption.explains(error)).toBe(true);
    expect(interruption.exitCode).toBe(130);
  });

  test('no failure of another kind', async () => {
    const full = new StoreError('ERR_NO_SPACE', 'no space left');
    const { error, interruption } = await failureAfterCtrlC(() => Promise.reject(full));
    expect(interruption.explains(error)).toBe(false);
  });

  test('nothing before it came', () => {
    const interruption = listenForSignals(new EventEmitter());
    expect(interruption.explains(new StoreError('ERR_ABORTED', 'cancelled'))).toBe(false);
    expect(interruption.exitCode).toBeUndefined();
  });
});

test('Ctrl-C is left to the program in the foreground, SIGTERM is not', () => {
  const signals = new EventEmitter();
  const interruption = listenForSignals(signals);
  interruption.leaveCtrlCToProgram();
  signals.emit('SIGINT');
  expect(interruption.signal.aborted).toBe(false);
  signals.emit('SIGTERM');
  expect(interruption.signal.aborted).toBe(true);
  expect(interruption.exitCode).toBe(143);
});
