import { describe, expect, it } from 'vitest';
import { detectCompression, peek } from './detect.js';

const cases: readonly (readonly [string, string, string])[] = [
  ['a gzip member', '1f8b0800000000000003', 'gzip'],
  ['a zstd frame', '28b52ffd045895000058', 'zstd'],
  ['a zstd stream that begins with a skippable frame', '502a4d18040000000102', 'zstd'],
  ['the last of the skippable magic numbers', '5f2a4d18040000000102', 'zstd'],
  ['a tar whose first name is BZh1', '425a683100000000000000', 'none'],
  ['a gzip magic with an unknown method', '1f8b0900000000000003', 'none'],
  ['text', Buffer.from('etc/passwd').toString('hex'), 'none'],
  ['fewer bytes than any magic', '1f8b', 'none'],
  ['nothing', '', 'none'],
];

describe('detectCompression', () => {
  it.each(cases)('knows %s', (_name, hex, expected) => {
    expect(detectCompression(Buffer.from(hex, 'hex'))).toBe(expected);
  });

  it.each([
    ['xz', 'fd377a585a0000040000', 'xz -d'],
    ['bzip2', '425a6839314159265359', 'bzip2 -d'],
    ['bzip2', '425a6831177245385090', 'bzip2 -d'],
  ])('refuses %s by name and says what to do', (name, hex, program) => {
    const detect = () => detectCompression(Buffer.from(hex, 'hex'));
    expect(detect).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED_FORMAT',
        message: expect.stringContaining(name) as string,
        hint: expect.stringContaining(program) as string,
      }) as Error,
    );
  });
});

describe('peek', () => {
  it('gives the first bytes and a source that still has them, though chunks are reused', () => {
    const reused = Buffer.alloc(4);
    function* chunks() {
      for (const text of ['abcd', 'efgh', 'ijkl', 'mnop']) {
        reused.write(text);
        yield reused;
      }
    }
    const { head, source } = peek(chunks(), 10);
    expect(head.toString()).toBe('abcdefghij');
    expect(read(source)).toBe('abcdefghijklmnop');
  });

  it('closes the source when the reader stops early', () => {
    let closed = false;
    function* chunks() {
      try {
        for (;;) yield Buffer.from('chunk');
      } finally {
        closed = true;
      }
    }
    for (const chunk of peek(chunks(), 7).source) {
      expect(chunk.toString()).toBe('chunkchunk');
      break;
    }
    expect(closed).toBe(true);
  });

  it('accepts a source that is shorter than asked for', () => {
    const { head, source } = peek([Buffer.from('ab')], 10);
    expect(head.toString()).toBe('ab');
    expect(read(source)).toBe('ab');
    expect(read(peek([], 10).source)).toBe('');
  });
});

function read(source: Iterable<Buffer>): string {
  let text = '';
  for (const chunk of source) text += chunk.toString();
  return text;
}
