import { describe, expect, it } from 'vitest';
import { fuzzTarReader } from './fuzz.js';

describe('damaged archives', () => {
  it.each([1, 2, 3, 4])('never get past the documented errors or out of bounds (seed %d)', (seed) => {
    const { accepted, refused } = fuzzTarReader({ seed, rounds: 3000 });
    expect(accepted + refused).toBe(3000);
    // Both ways must have been taken, or the damage is not of the right strength.
    expect(accepted).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(300);
  });
});
