import { describe, expect, it } from 'vitest';
import { retryAfter } from './refusal.js';

const now = Date.parse('2026-11-25T03:00:00Z');

describe('Retry-After', () => {
  it.each([
    ['7', 7000],
    ['0', 0],
    ['Wed, 25 Nov 2026 03:00:10 GMT', 10_000],
    ['Wed, 25 Nov 2026 02:00:00 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
    [undefined, undefined],
  ])('%s', (header, milliseconds) => {
    expect(retryAfter(header, now)).toBe(milliseconds);
  });
});
