import { expect, test } from 'vitest';
import { humanSize } from './sizes.js';

test.each([
  [0, '0B'],
  [999, '999B'],
  [1000, '1kB'],
  [1049, '1.05kB'],
  [999_499, '999kB'],
  [999_500, '1MB'],
  [116_800_000, '117MB'],
  [2_000_000_000, '2GB'],
  [1e20, '100000PB'],
])('%d bytes are shown as %s', (bytes, text) => {
  expect(humanSize(bytes)).toBe(text);
});
