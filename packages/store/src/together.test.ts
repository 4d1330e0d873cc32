import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '@layerstore/core';
import { expect, test } from 'vitest';
import { together } from './together.js';

test('gives the results in the order of the items, whoever ends first', async () => {
  const slowestFirst = [30, 20, 10];
  const results = await together(slowestFirst, (milliseconds) => delay(milliseconds, [milliseconds]), undefined);
  expect(results).toEqual([[30], [20], [10]]);
});

test('throws the first failure only after the others have been stopped and have ended', async () => {
  const ended: string[] = [];
  const failing = together(
    ['fails', 'is stopped'],
    async (item, signal) => {
      if (item === 'fails') throw new Error('the first failure');
      await once(signal, 'abort');
      await delay(20);
      ended.push(item);
      throwIfAborted(signal);
    },
    undefined,
  );
  await expect(failing).rejects.toThrow('the first failure');
  expect(ended).toEqual(['is stopped']);
});

test('is stopped from outside', async () => {
  const outer = new AbortController();
  const stopped = together(
    [1, 2],
    async (_item, signal) => {
      await once(signal, 'abort');
      throwIfAborted(signal);
    },
    outer.signal,
  );
  outer.abort();
  await expect(stopped).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});
