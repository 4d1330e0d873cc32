import { describe, expect, it } from 'vitest';
import { fuzzTarReader } from './fuzz.js';

describe('damaged archives', () => {
  it.each([1, 2, 3, 4])('never get past the documented errors or out of bounds (seed %d)', (seed) => {
    const { accepted, refused } = fuzzTarReader({ seed, rounds: 2000 });
    expect(accepted + refused).toBe(2000);
    // Both ways must have been taken, or the damage is not of the right strength.
    expect(accepted).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(200);
  });
});
