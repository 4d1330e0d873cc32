import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Crc64 } from './crc64.js';

/** One bit at a time, straight from the definition. */
function bitwise(bytes: Uint8Array): string {
  let sum = 0xffff_ffff_ffff_ffffn;
  for (const byte of bytes) {
    sum ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >> 1n) ^ ((sum & 1n) === 1n ? 0xd800_0000_0000_0000n : 0n);
  }
  return (sum ^ 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, '0');
}

const crc = (...pieces: Uint8Array[]): string => {
  const sum = new Crc64();
  for (const piece of pieces) sum.update(piece);
  return sum.digest().toString('hex');
};

describe('CRC-64/ISO', () => {
  it.each([
    ['', '0000000000000000'],
    ['a', '3420000000000000'],
    ['123456789', 'b90956c775a41001'],
    ['hello world', 'b9cf3f572ad9ac3e'],
  ])('of %j is what Go computes', (text, expected) => {
    expect(crc(Buffer.from(text))).toBe(expected);
  });

  it('equals the definition, for every length, alignment and cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), fc.nat(300), (bytes, shift, cut) => {
        const shifted = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
        expect(crc(shifted.subarray(0, cut), shifted.subarray(cut))).toBe(bitwise(bytes));
      }),
    );
  });

  it('begins anew after a reset', () => {
    const sum = new Crc64();
    sum.update(Buffer.from('something'));
    sum.reset();
    expect(sum.digest().toString('hex')).toBe('0000000000000000');
  });
});
