import { hasCode, type ErrorCode } from '@layerstore/core';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { compress } from './compress.js';
import { decompress, type DecompressOptions } from './decompress.js';
import { gunzipEngines, type GunzipEngine } from './gunzip.js';
import { unzstdEngines, type UnzstdEngine } from './unzstd.js';

/** A mixture of text, runs and noise, long enough for several buffers. */
const content = Buffer.concat([
  Buffer.from('layers of a container image, '.repeat(60_000)),
  Buffer.alloc(900_000),
  randomBytes(700_000),
  Buffer.from('the end'),
]);

/** Delivers in chunks of one size in one reused buffer, as real sources do. */
function* inChunks(data: Buffer, size: number): ByteSource {
  const buffer = Buffer.alloc(size);
  for (let offset = 0; offset < data.length; offset += size) {
    const length = data.copy(buffer, 0, offset, offset + size);
    yield buffer.subarray(0, length);
    buffer.fill(0xaa);
  }
}

function collect(source: ByteSource): Buffer {
  return Buffer.concat([...copies(source)]);
}

function* copies(source: ByteSource): ByteSource {
  for (const chunk of source) yield Buffer.from(chunk);
}

function outcome(run: () => Buffer): Buffer | ErrorCode {
  try {
    return run();
  } catch (error) {
    if (hasCode(error, 'ERR_TRUNCATED', 'ERR_MALFORMED_ARCHIVE', 'ERR_LIMIT_EXCEEDED', 'ERR_UNSUPPORTED_FORMAT')) {
      return error.code;
    }
    throw error;
  }
}

const allGunzip: readonly GunzipEngine[] = ['node', 'library'];
const allUnzstd: readonly UnzstdEngine[] = ['node', 'library', 'portable'];

describe.each(allGunzip)('gunzip by the %s engine', (engine) => {
  const gunzip = (data: Buffer, chunkSize = 64 * 1024, options: DecompressOptions = {}) =>
    collect(decompress(inChunks(data, chunkSize), 'gzip', { gunzipEngine: engine, ...options }));

  it('is available here', () => {
    expect(gunzipEngines()).toContain(engine);
  });

  it.each([1, 7, 4096, BUFFER_SIZE, 2 * BUFFER_SIZE])('inflates input in chunks of %i bytes', (chunkSize) => {
    const data = chunkSize === 1 ? content.subarray(0, 200_000) : content;
    expect(gunzip(gzipSync(data), chunkSize).equals(data)).toBe(true);
  });

  it.each([
    ['stored blocks', { level: 0 }],
    ['fixed codes', { strategy: constants.Z_FIXED }],
    ['Huffman codes only', { strategy: constants.Z_HUFFMAN_ONLY }],
    ['runs', { strategy: constants.Z_RLE }],
    ['the smallest window', { windowBits: 9 }],
    ['the greatest effort', { level: 9, memLevel: 9 }],
  ])('inflates %s', (_name, options) => {
    expect(gunzip(gzipSync(content, options)).equals(content)).toBe(true);
  });

  it('delivers buffers of at most 1 MiB, always the same one', () => {
    const buffers = new Set<ArrayBufferLike>();
    for (const chunk of decompress([gzipSync(content)], 'gzip', { gunzipEngine: engine })) {
      expect(chunk.length).toBeLessThanOrEqual(BUFFER_SIZE + 258);
      buffers.add(chunk.buffer);
    }
    expect(buffers.size).toBe(1);
  });

  it('joins members, empty ones too', () => {
    const members = ['one ', '', 'two ', 'three'].map((text) => gzipSync(text));
    for (const chunkSize of [1, 20, 21, 1000])
      expect(gunzip(Buffer.concat(members), chunkSize).toString()).toBe('one two three');
  });

  it('skips name, comment, extra field and header checksum', () => {
    const extra = Buffer.from([4, 0, 0x41, 0x42, 0, 0]);
    const body = Buffer.concat([deflateRawSync('text'), gzipSync('text').subarray(-8)]);
    const header = Buffer.concat([
      Buffer.from([0x1f, 0x8b, 8, 4 | 8 | 16, 1, 2, 3, 4, 0, 3]),
      extra,
      Buffer.from('name\0comment\0'),
    ]);
    expect(gunzip(Buffer.concat([header, body])).toString()).toBe('text');
  });

  it.each([1, 9, 512, 100_000])('tolerates %i zero bytes after the last member', (padding) => {
    const padded = Buffer.concat([gzipSync('one'), gzipSync('two'), Buffer.alloc(padding)]);
    for (const chunkSize of [5, 24, 65536]) expect(gunzip(padded, chunkSize).toString()).toBe('onetwo');
  });

  it.each([
    ['garbage after a member', Buffer.from('garbage')],
    ['garbage after the padding', Buffer.from('\0\0\0garbage')],
    ['a member after the padding', Buffer.concat([Buffer.alloc(8), gzipSync('more')])],
  ])('refuses %s', (_name, tail) => {
    const data = Buffer.concat([gzipSync('text'), tail]);
    for (const chunkSize of [1, 24, 65536])
      expect(outcome(() => gunzip(data, chunkSize))).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('calls input truncated wherever it is cut', () => {
    const data = Buffer.concat([gzipSync('first member'), gzipSync(content.subarray(0, 500))]);
    const boundary = gzipSync('first member').length;
    for (let length = 0; length < data.length; length += 1) {
      const expected = length === boundary ? Buffer.from('first member') : 'ERR_TRUNCATED';
      expect(outcome(() => gunzip(data.subarray(0, length)))).toEqual(expected);
    }
  });

  it('notices a wrong checksum and a wrong length', () => {
    for (const fromEnd of [8, 1]) {
      const data = gzipSync('text');
      data[data.length - fromEnd] = (data.at(-fromEnd) ?? 0) ^ 1;
      expect(outcome(() => gunzip(data))).toBe('ERR_MALFORMED_ARCHIVE');
    }
  });

  it('stops a bomb at the stated number of bytes, without reading all of it', () => {
    const member = gzipSync(Buffer.alloc(4 * BUFFER_SIZE));
    let read = 0;
    function* bomb(): ByteSource {
      for (; read < 1000; read += 1) yield member;
    }
    const options = { gunzipEngine: engine, limits: { maxBytes: 16 * BUFFER_SIZE } };
    expect(outcome(() => collect(decompress(bomb(), 'gzip', options)))).toBe('ERR_LIMIT_EXCEEDED');
    expect(read).toBeLessThan(10);
  });
});

describe('the two gunzip engines', () => {
  it('agree on damaged input: the same bytes, or an error from both', () => {
    const original = gzipSync(content.subarray(1_700_000, 1_760_000));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 })), {
          minLength: 1,
          maxLength: 3,
        }),
        (flips) => {
          const damaged = Buffer.from(original);
          for (const [at, mask] of flips) damaged[at] = (damaged[at] ?? 0) ^ mask;
          const [node, portable] = allGunzip.map((engine) =>
            outcome(() => collect(decompress([damaged], 'gzip', { gunzipEngine: engine }))),
          );
          expect(Buffer.isBuffer(portable)).toBe(Buffer.isBuffer(node));
          if (Buffer.isBuffer(node)) expect(portable).toEqual(node);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe.each(allUnzstd)('unzstd by the %s engine', (engine) => {
  const available = unzstdEngines().includes(engine);
  const when = it.skipIf(!available);
  const reason = available ? '' : ' (skipped: this Node or system does not have the engine)';
  const unzstd = (data: Buffer, chunkSize = 64 * 1024, options: DecompressOptions = {}) =>
    collect(decompress(inChunks(data, chunkSize), 'zstd', { unzstdEngine: engine, ...options }));
  const zstd = (data: Buffer | string, ...options: string[]) =>
    execFileSync('zstd', ['-q', '-c', ...options], { input: data, maxBuffer: 1e9 });

  if (!available) {
    it('says so when it is forced where it does not exist', () => {
      expect(() => unzstd(zstd('text'))).toThrow(expect.objectContaining({ code: 'ERR_NOT_SUPPORTED' }) as Error);
    });
  }

  when.each([['-1'], ['-3'], ['-19'], ['--no-check'], ['--fast=10'], ['--long=27']])(
    `decompresses what zstd %s wrote${reason}`,
    (option) => {
      const data = zstd(content, option);
      for (const chunkSize of [1000, BUFFER_SIZE]) expect(unzstd(data, chunkSize).equals(content)).toBe(true);
    },
  );

  when(`decompresses byte by byte${reason}`, () => {
    const data = content.subarray(0, 100_000);
    expect(unzstd(zstd(data), 1).equals(data)).toBe(true);
  });

  when(`joins frames, skips skippable ones and accepts empty ones${reason}`, () => {
    const skippable = Buffer.concat([Buffer.from('532a4d1803000000', 'hex'), Buffer.from('xyz')]);
    const data = Buffer.concat([skippable, zstd('one '), skippable, zstd(''), zstd('two', '--no-check'), skippable]);
    for (const chunkSize of [1, 11, 4096]) expect(unzstd(data, chunkSize).toString()).toBe('one two');
  });

  when(`refuses data after the last frame, zero bytes included${reason}`, () => {
    for (const tail of ['garbage', '\0\0\0\0']) {
      expect(outcome(() => unzstd(Buffer.concat([zstd('text'), Buffer.from(tail)])))).toBe('ERR_MALFORMED_ARCHIVE');
    }
  });

  when(`calls input truncated wherever it is cut${reason}`, () => {
    const first = zstd('first frame');
    const data = Buffer.concat([first, zstd(content.subarray(0, 500))]);
    for (let length = 0; length < data.length; length += 1) {
      const expected = length === first.length ? Buffer.from('first frame') : 'ERR_TRUNCATED';
      expect(outcome(() => unzstd(data.subarray(0, length)))).toEqual(expected);
    }
  });

  when(`never delivers other bytes from a damaged frame without saying so${reason}`, () => {
    const data = content.subarray(0, 3000);
    const original = zstd(data);
    fc.assert(
      fc.property(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const damaged = Buffer.from(original);
        damaged[at] = (damaged[at] ?? 0) ^ mask;
        const result = outcome(() => unzstd(damaged));
        if (Buffer.isBuffer(result)) expect(result.length === 0 || result.equals(data)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  when(`refuses a window over the limit before anything is allocated${reason}`, () => {
    const hungry = Buffer.concat([Buffer.from('28b52ffd00', 'hex'), Buffer.from([0xff]), Buffer.from('010000', 'hex')]);
    expect(outcome(() => unzstd(hungry))).toBe('ERR_LIMIT_EXCEEDED');
    const options = { limits: { maxWindow: 1024 * 1024 } };
    expect(outcome(() => unzstd(zstd(content, '--long=27'), 65536, options))).toBe('ERR_LIMIT_EXCEEDED');
  });

  when(`stops a bomb by its ratio${reason}`, () => {
    const bomb = zstd(Buffer.alloc(32 * BUFFER_SIZE));
    expect(unzstd(bomb).length).toBe(32 * BUFFER_SIZE);
    const options = { limits: { maxRatio: 1100, ratioFrom: 8 * BUFFER_SIZE } };
    expect(outcome(() => unzstd(bomb, 65536, options))).toBe('ERR_LIMIT_EXCEEDED');
  });

  when(`refuses a frame that needs a dictionary${reason}`, () => {
    const frame = Buffer.from('28b52ffd0158fe010000', 'hex');
    expect(outcome(() => unzstd(frame))).toBe('ERR_UNSUPPORTED_FORMAT');
  });
});

describe('decompress', () => {
  it('hands plain data through, and applies the limit to it', () => {
    expect(collect(decompress([Buffer.from('plain')], 'none')).toString()).toBe('plain');
    const limited = () => collect(decompress([Buffer.alloc(10)], 'none', { limits: { maxBytes: 9 } }));
    expect(limited).toThrow(expect.objectContaining({ code: 'ERR_LIMIT_EXCEEDED' }) as Error);
  });

  it.each(['gzip', 'zstd'] as const)('closes the source when the reader of %s stops early', (kind) => {
    let closed = false;
    function* endless(): ByteSource {
      try {
        yield* copies(compress([randomBytes(4 * BUFFER_SIZE)], kind));
        for (;;) yield Buffer.alloc(1);
      } finally {
        closed = true;
      }
    }
    for (const chunk of decompress(endless(), kind)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(closed).toBe(true);
  });
});
