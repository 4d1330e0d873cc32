import { StoreError } from '@layerstore/core';
import { loadZstd } from '@layerstore/linux';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { compress } from './compress.js';
import { decompress } from './decompress.js';
import { detectCompression } from './detect.js';
import { openZstdCompress } from './sync-codec.js';

const content = Buffer.concat([
  Buffer.from('compressible '.repeat(200_000)),
  randomBytes(BUFFER_SIZE),
  Buffer.from('compressible '.repeat(1000)),
]);

function collect(source: ByteSource): Buffer {
  const parts: Buffer[] = [];
  for (const chunk of source) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

function* inChunks(data: Buffer, size: number): ByteSource {
  for (let offset = 0; offset < data.length; offset += size) yield data.subarray(offset, offset + size);
}

describe('gzip', () => {
  it.each([1, 6, 9])('at level %i gives one member that zlib and gzip read', (level) => {
    const packed = collect(compress(inChunks(content, 100_000), 'gzip', level));
    expect(gunzipSync(packed).equals(content)).toBe(true);
    expect(execFileSync('gzip', ['-dc'], { input: packed, maxBuffer: 1e9 }).equals(content)).toBe(true);
    expect(packed.length).toBeLessThan(content.length / 2);
  });

  it('looks back across its blocks: a repetition of noise 20 KiB later is found', () => {
    const noise = randomBytes(20 * 1024);
    const data = Buffer.concat([Buffer.alloc(BUFFER_SIZE - noise.length), noise, noise]);
    expect(collect(compress([data], 'gzip')).length).toBeLessThan(noise.length * 1.2);
  });

  it('gives the same bytes however the input is cut, without time or name in the header', () => {
    const whole = collect(compress([content], 'gzip'));
    expect(collect(compress(inChunks(content, 4097), 'gzip')).equals(whole)).toBe(true);
    expect(whole.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
  });

  it('packs an empty source into a valid member', () => {
    const packed = collect(compress([], 'gzip'));
    expect(gunzipSync(packed).length).toBe(0);
    expect(detectCompression(packed)).toBe('gzip');
  });
});

const engines = [
  { engine: 'node' as const, available: openZstdCompress(3) !== undefined },
  { engine: 'library' as const, available: loadZstd() !== undefined },
];

describe.each(engines)('zstd by the $engine engine', ({ engine, available }) => {
  const when = it.skipIf(!available);
  const reason = available ? '' : ' (skipped: this Node or system does not have it)';

  when.each([1, 3, 19])(`at level %i gives a frame with a checksum that zstd reads${reason}`, (level) => {
    const data = level === 19 ? content.subarray(0, 300_000) : content;
    const packed = collect(compress(inChunks(data, 100_000), 'zstd', level, { zstdEngine: engine }));
    expect(execFileSync('zstd', ['-dc', '-q'], { input: packed, maxBuffer: 1e9 }).equals(data)).toBe(true);
    expect((packed[4] ?? 0) & 4).toBe(4);
    expect(collect(decompress([packed], 'zstd')).equals(data)).toBe(true);
  });

  when(`packs an empty source into a valid frame${reason}`, () => {
    const packed = collect(compress([], 'zstd', 3, { zstdEngine: engine }));
    expect(collect(decompress([packed], 'zstd')).length).toBe(0);
  });

  if (!available) {
    it('says what to install when it is forced where it does not exist', () => {
      const run = () => collect(compress([content], 'zstd', 3, { zstdEngine: engine }));
      expect(run).toThrow(expect.objectContaining({ code: 'ERR_MISSING_PREREQUISITE' }) as Error);
    });
  }
});

describe('compress', () => {
  it('hands the source through for none', () => {
    expect(collect(compress([Buffer.from('plain')], 'none')).toString()).toBe('plain');
  });

  it.each([
    ['gzip', 0],
    ['gzip', 10],
    ['gzip', 1.5],
    ['zstd', 20],
  ] as const)('refuses %s level %d', (kind, level) => {
    expect(() => compress([], kind, level)).toThrow(StoreError);
    expect(() => compress([], kind, level)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error);
  });
});
