import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { XxHash64 } from './xxhash64.js';

function hash(...parts: Buffer[]): string {
  const state = new XxHash64();
  for (const part of parts) state.update(part);
  return state.digest().toString(16).padStart(16, '0');
}

/** The checksum of a zstd frame is the low half of the XXH64 of its content, little-endian. */
function checksumByZstd(data: Buffer): string {
  const frame = execFileSync('zstd', ['-q', '-c', '-1', '--check'], { input: data });
  return frame
    .readUInt32LE(frame.length - 4)
    .toString(16)
    .padStart(8, '0');
}

describe('XxHash64', () => {
  it.each([
    ['', 'ef46db3751d8e999'],
    ['a', 'd24ec4f1a98c6e5b'],
    ['abc', '44bc2cf5ad770999'],
    ['Nobody inspects the spammish repetition', 'fbcea83c8a378bf1'],
  ])('of %j is the published value', (text, expected) => {
    expect(hash(Buffer.from(text))).toBe(expected);
  });

  it.each([1, 4, 8, 31, 32, 33, 63, 64, 100, 1000, 70_001])('of %i bytes is what zstd computes', (length) => {
    const data = Buffer.from(Array.from({ length }, (_, index) => (index * 151 + (index >> 5)) & 0xff));
    expect(hash(data).slice(8)).toBe(checksumByZstd(data));
  });

  it('does not depend on how the data is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 8 }), (arrays) => {
        const parts = arrays.map((array) => Buffer.from(array));
        expect(hash(...parts)).toBe(hash(Buffer.concat(parts)));
      }),
    );
  });
});
