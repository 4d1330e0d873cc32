import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  fitsOctal,
  formatTime,
  parseDecimal,
  parseNumericField,
  parseTime,
  wholeSeconds,
  writeOctal,
} from './numbers.js';

const field = (text: string | readonly number[]): number | undefined => {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : Buffer.from(text);
  return parseNumericField(bytes, 0, bytes.length);
};

describe('a numeric header field', () => {
  it.each([
    ['zero-padded octal with a NUL', '0000644\0', 0o644],
    ['octal without an end', '77777777', 0o77777777],
    ['octal between spaces', ' 644 \0\0\0', 0o644],
    ['octal behind NULs', '\x00\x00\x00644', 0o644],
    ['octal that ends at a NUL before garbage', '644\0xyz', 0o644],
    ['nothing but NULs', '\0\0\0\0', 0],
    ['nothing but spaces', '    ', 0],
    ['twelve octal digits', '777777777777', 8 ** 12 - 1],
  ])('is read as %s', (_, text, value) => {
    expect(field(text)).toBe(value);
  });

  it.each([
    ['base-256', [0x80, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0], 3_000_000],
    ['base-256 of seven bits in the first byte', [0xbf, 0xff], 0x3fff],
    ['negative base-256', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], -2],
    ['minus one', [0xff, 0xff], -1],
    ['the largest safe integer', [0x80, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Number.MAX_SAFE_INTEGER],
  ])('is read as %s', (_, bytes, value) => {
    expect(field(bytes)).toBe(value);
  });

  it.each([
    ['a digit that octal has not', '0000648\0'],
    ['a sign', '-000001\0'],
    ['a space inside', '00 0644\0'],
    ['base-256 beyond 2^53', '\x80\x20\0\0\0\0\0\0'],
    ['negative base-256 beyond 2^53', '\xff\x80\0\0\0\0\0\0\0\0\0\0'],
  ])('is refused with %s', (_, text) => {
    expect(field(text)).toBeUndefined();
  });

  it('reads back every number that was written in octal', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 8 ** 11 - 1 }), (value) => {
        const block = Buffer.alloc(20, 0xff);
        writeOctal(block, 4, 12, value);
        expect(parseNumericField(block, 4, 16)).toBe(value);
        expect([block[3], block[16]]).toEqual([0xff, 0xff]);
      }),
    );
  });

  it.each([
    [0o7777777, true],
    [0o10000000, false],
    [-1, false],
    [0.5, false],
  ])('knows whether %d fits eight bytes', (value, fits) => {
    expect(fitsOctal(value, 8)).toBe(fits);
  });
});

describe('a decimal number', () => {
  it.each([
    ['0', 0],
    ['0012', 12],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740992', undefined],
    ['', undefined],
    ['-1', undefined],
    ['+1', undefined],
    ['1 ', undefined],
    ['0x1', undefined],
  ])('%j is read as %j', (text, value) => {
    expect(parseDecimal(Buffer.from(text))).toBe(value);
  });
});

describe('a PAX time', () => {
  it.each([
    ['0', 0n],
    ['1350244992.023960108', 1_350_244_992_023_960_108n],
    ['1.5', 1_500_000_000n],
    ['1.', 1_000_000_000n],
    ['+7', 7_000_000_000n],
    ['-1', -1_000_000_000n],
    ['-0.5', -500_000_000n],
    ['-1.000000001', -1_000_000_001n],
    ['1.0000000019', 1_000_000_001n],
    ['-1.0000000010', -1_000_000_001n],
    ['-1.0000000011', -1_000_000_002n],
    ['9007199254740991.999999999', 9_007_199_254_740_991_999_999_999n],
  ])('%s is read exactly, rounded towards the past', (text, value) => {
    expect(parseTime(Buffer.from(text))).toBe(value);
  });

  it.each(['', '-', '.5', '1.5e3', '1,5', ' 1', '1.x', '1.0000000000x', '--1', '9007199254740992'])(
    '%j is refused',
    (text) => {
      expect(parseTime(Buffer.from(text))).toBeUndefined();
    },
  );

  it('survives being formatted, to the nanosecond, on both sides of 1970', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), (nanoseconds) => {
        expect(parseTime(Buffer.from(formatTime(nanoseconds)))).toBe(nanoseconds);
      }),
    );
  });

  it.each([
    [1_999_999_999n, 1n],
    [-1n, -1n],
    [-1_000_000_000n, -1n],
    [-1_000_000_001n, -2n],
  ])('%d ns lie in second %d', (nanoseconds, seconds) => {
    expect(wholeSeconds(nanoseconds)).toBe(seconds);
  });
});
