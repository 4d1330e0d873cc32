import { expect, test } from 'vitest';
import { chunkSizes } from './store-content.js';

const MIB = 1024 * 1024;

test('chunks have 4 to 12 MiB, and files up to that size are one piece', () => {
  expect(chunkSizes(0)).toEqual([0]);
  expect(chunkSizes(8 * MIB)).toEqual([8 * MIB]);
  expect(chunkSizes(12 * MIB - 1)).toEqual([12 * MIB - 1]);
  expect(chunkSizes(12 * MIB)).toEqual([8 * MIB, 4 * MIB]);
  expect(chunkSizes(17 * MIB)).toEqual([8 * MIB, 9 * MIB]);
});

test('chunks together are the file, whatever its size', () => {
  for (let size = 1; size < 200 * MIB; size = size * 3 + 1) {
    const sizes = chunkSizes(size);
    expect(sizes.reduce((sum, one) => sum + one, 0)).toBe(size);
    if (sizes.length > 1) for (const one of sizes) expect(one >= 4 * MIB && one < 12 * MIB).toBe(true);
  }
});
