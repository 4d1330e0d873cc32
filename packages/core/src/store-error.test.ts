import { rmdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromSystemError, StoreError } from './store-error.js';

/** What `using` throws when the block failed and its end too. */
function failureOf(block: () => void, end: () => void): unknown {
  try {
    using _resource = { [Symbol.dispose]: end };
    block();
  } catch (error) {
    return error;
  }
  return undefined;
}

function abort(): never {
  const signal = AbortSignal.abort();
  signal.throwIfAborted();
  throw new Error('not aborted');
}

describe('a failure whose cleaning up failed too', () => {
  const removeRoot = (): void => rmdirSync('/proc');

  test('keeps its code and tells both', () => {
    const full = new StoreError('ERR_NO_SPACE', 'no space left', { subject: '/a', hint: 'free some space' });
    const told = fromSystemError(
      failureOf(() => {
        throw full;
      }, removeRoot),
    );
    expect(told).toMatchObject({ code: 'ERR_NO_SPACE', hint: 'free some space' });
    expect(told.message).toMatch(/^\/a: no space left; then the cleaning up failed: .*\/proc/);
  });

  test('is no mere cancellation when it was cancelled', () => {
    const told = fromSystemError(failureOf(abort, removeRoot));
    expect(told.code).not.toBe('ERR_ABORTED');
    expect(told.message).toMatch(/^cancelled; then the cleaning up failed: .*\/proc/);
  });
});

test('a cancellation by Node or by the platform is ERR_ABORTED', () => {
  expect(fromSystemError(failureOf(abort, () => undefined)).code).toBe('ERR_ABORTED');
  const ofNode = Object.assign(new Error('The operation was aborted'), { code: 'ABORT_ERR', name: 'AbortError' });
  expect(fromSystemError(ofNode).code).toBe('ERR_ABORTED');
});
