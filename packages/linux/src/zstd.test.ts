import type { StoreError } from '@layerstore/core';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadZstd, type ZstdLibrary } from './zstd.js';

const found = process.platform === 'linux' ? loadZstd() : undefined;

function compress(zstd: ZstdLibrary, data: Uint8Array, outputSize: number, size?: number): Buffer {
  const stream = zstd.compressor({ level: 3, ...(size === undefined ? {} : { size }) });
  const output = Buffer.alloc(outputSize);
  const parts: Buffer[] = [];
  for (let rest = data; ;) {
    const step = stream.compress(rest, output, 'end');
    parts.push(Buffer.from(output.subarray(0, step.written)));
    rest = rest.subarray(step.read);
    if (step.remaining === 0) break;
  }
  stream[Symbol.dispose]();
  return Buffer.concat(parts);
}

function decompress(zstd: ZstdLibrary, data: Uint8Array, outputSize: number): { bytes: Buffer; remaining: number } {
  const stream = zstd.decompressor();
  const output = Buffer.alloc(outputSize);
  const parts: Buffer[] = [];
  let step = { read: 0, written: outputSize, remaining: 1 };
  try {
    for (
      let rest = data;
      rest.length > 0 || (step.remaining > 0 && step.written === outputSize);
      rest = rest.subarray(step.read)
    ) {
      step = stream.decompress(rest, output);
      parts.push(Buffer.from(output.subarray(0, step.written)));
    }
  } finally {
    stream[Symbol.dispose]();
  }
  return { bytes: Buffer.concat(parts), remaining: step.remaining };
}

describe.skipIf(found === undefined)('libzstd (where libzstd.so.1 is installed)', () => {
  const zstd = found!;

  it('tells its version', () => {
    expect(zstd.version).toMatch(/^1\.\d+\.\d+$/);
  });

  it('gives back what it compressed, through buffers of any size', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 5000 }),
        (data, repeats, outputSize) => {
          const all = Buffer.concat(Array.from({ length: repeats }, () => data));
          const packed = compress(zstd, all, outputSize, all.length);
          expect(decompress(zstd, packed, outputSize)).toEqual({ bytes: all, remaining: 0 });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('reads what the zstd program writes, several frames included, and the reverse', () => {
    const data = Buffer.concat([randomBytes(300_000), Buffer.alloc(300_000, 'abc')]);
    const theirs = execFileSync('zstd', ['-q', '-c'], { input: data });
    const twice = Buffer.concat([theirs, theirs]);
    expect(decompress(zstd, twice, 65_536).bytes.equals(Buffer.concat([data, data]))).toBe(true);
    expect(execFileSync('zstd', ['-q', '-d', '-c'], { input: compress(zstd, data, 65_536) }).equals(data)).toBe(true);
  });

  it('works on views into larger buffers', () => {
    const frame = Buffer.concat([Buffer.from('junk'), compress(zstd, Buffer.from('payload'), 100)]).subarray(4);
    const output = Buffer.alloc(20, '.');
    using stream = zstd.decompressor();
    expect(stream.decompress(frame, output.subarray(5, 15))).toEqual({ read: frame.length, written: 7, remaining: 0 });
    expect(output.toString()).toBe('.....payload........');
  });

  it('says that a truncated frame has not ended', () => {
    const packed = compress(zstd, randomBytes(10_000), 65_536);
    expect(decompress(zstd, packed.subarray(0, -1), 65_536).remaining).toBeGreaterThan(0);
  });

  it('refuses flipped bits, what is not zstd, and windows over the limit', () => {
    const packed = compress(zstd, randomBytes(10_000), 65_536);
    packed[5000]! ^= 1;
    const malformed = expect.objectContaining({ code: 'ERR_MALFORMED_ARCHIVE' }) as StoreError;
    expect(() => decompress(zstd, packed, 65_536)).toThrow(malformed);
    expect(() => decompress(zstd, Buffer.from('this is not zstd'), 65_536)).toThrow(malformed);
    const wide = execFileSync('zstd', ['-q', '-c', '--ultra', '--long=28'], { input: Buffer.alloc(1000) });
    expect(() => decompress(zstd, wide, 65_536)).toThrow(malformed);
  });

  it('refuses use after it was closed, and closes twice without harm', () => {
    const stream = zstd.decompressor();
    stream[Symbol.dispose]();
    stream[Symbol.dispose]();
    expect(() => stream.decompress(Buffer.alloc(1), Buffer.alloc(1))).toThrow(
      expect.objectContaining({ code: 'ERR_CLOSED' }) as StoreError,
    );
  });
});
