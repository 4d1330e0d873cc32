import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { hasCode, StoreError, type ErrorCode } from '@layerstore/core';
import { craftedArchive, craftedMember, craftedPax } from '../tar/crafted.js';
import { damagedArchive, randomNumbers } from '../tar/fuzz.js';
import { TarReader } from '../tar/reader.js';
import { joinTarSplit } from './join.js';
import { readTarSplit } from './reader.js';
import { TarSplitWriter } from './writer.js';

let scratch = '';
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'layerstore-tar-split-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** A layer that keeps the last content of each name, in numbered files. */
class FlatLayer {
  readonly files = new Map<string, { readonly path: string; readonly position: number }>();
  readonly lost = new Map<number, string>();

  open = (name: Buffer): number => {
    const file = this.files.get(name.toString('latin1'));
    if (file === undefined) throw new StoreError('ERR_NOT_FOUND', 'not in the layer', { subject: name.toString() });
    return openSync(file.path, 'r');
  };

  put(name: Buffer, path: string | undefined, position: number): void {
    const key = name.toString('latin1');
    const earlier = this.files.get(key);
    if (earlier !== undefined) this.lost.set(earlier.position, earlier.path);
    this.files.delete(key);
    if (path !== undefined) this.files.set(key, { path, position });
  }
}

function split(archive: Iterable<Buffer>, path: string): FlatLayer {
  using writer = TarSplitWriter.create(path);
  let kept = false;
  const reader = new TarReader(archive, {
    observer: {
      segment: (bytes) => writer.segment(bytes),
      payload: (bytes) => (kept ? writer.payload(bytes) : writer.segment(bytes)),
    },
  });
  const layer = new FlatLayer();
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    kept = entry.type === 'file' && entry.sparse === undefined && entry.size > 0;
    const position = writer.file(entry.name, kept ? entry.size : 0);
    const content = kept ? join(scratch, `content-${position}`) : undefined;
    if (content !== undefined) writeFileSync(content, '');
    for (const { data } of reader.payload()) if (content !== undefined) appendFileSync(content, data);
    layer.put(entry.name, content, position);
  }
  writer.finish(layer.lost);
  return layer;
}

/** The chunks are copied, because the buffer is used again. */
const joined = (path: string, layer: FlatLayer): Buffer =>
  Buffer.concat(Array.from(joinTarSplit(path, layer.open), (chunk) => Buffer.from(chunk)));

function codeOf(action: () => unknown): { code: ErrorCode; message: string } {
  try {
    action();
  } catch (error) {
    if (StoreError.is(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was thrown');
}

const target = (): string => join(scratch, 'tar-split.gz');

describe('join(split(archive))', () => {
  it('is the archive, byte for byte, for everything that the reader accepts', () => {
    let accepted = 0;
    for (let seed = 0; seed < 200; seed += 1) {
      const archive = damagedArchive(randomNumbers(seed));
      const path = join(scratch, `${seed}.gz`);
      let layer: FlatLayer;
      try {
        layer = split([archive], path);
      } catch (error) {
        if (!hasCode(error, 'ERR_MALFORMED_ARCHIVE', 'ERR_TRUNCATED', 'ERR_UNSUPPORTED_FORMAT')) throw error;
        expect(existsSync(path)).toBe(false);
        continue;
      }
      accepted += 1;
      expect(joined(path, layer).equals(archive)).toBe(true);
    }
    expect(accepted).toBeGreaterThan(40);
  });

  it('is the archive however often a name comes again, and whatever follows the end', () => {
    const member = fc.record({
      name: fc.constantFrom('a', 'b', './a', 'dir/', 'with\nnewline', 'n\u00fc', '\xff'),
      type: fc.constantFrom('0', '0', '0', '5', '2', '7'),
      content: fc.uint8Array({ maxLength: 700 }),
      pax: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), fc.uint8Array({ maxLength: 1500 }), (members, garbage) => {
        const archive = Buffer.concat([
          craftedArchive(
            ...members.flatMap(({ name, type, content, pax }) => [
              ...(pax ? [craftedPax({ mtime: '1.5', path: Buffer.from(name, 'latin1') })] : []),
              craftedMember(
                { name: Buffer.from(name, 'latin1'), type, linkName: 'x' },
                type === '5' || type === '2' ? '' : Buffer.from(content),
              ),
            ]),
          ),
          garbage,
        ]);
        const path = target();
        const layer = split([archive], path);
        expect(joined(path, layer).equals(archive)).toBe(true);
        for (const file of readdirSync(scratch)) rmSync(join(scratch, file));
      }),
    );
  });

  it('holds for files and raw bytes larger than every buffer', () => {
    const large = Buffer.alloc(3_000_001, 'large ');
    const archive = Buffer.concat([
      craftedArchive(craftedMember({ name: 'large' }, large)),
      Buffer.alloc(2_500_000, 7),
    ]);
    const chunks: Buffer[] = [];
    for (let start = 0; start < archive.length; start += 100_003) chunks.push(archive.subarray(start, start + 100_003));
    const layer = split(chunks, target());
    const lengths = Array.from(joinTarSplit(target(), layer.open), (chunk) => chunk.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1 << 20);
    expect(joined(target(), layer).equals(archive)).toBe(true);
    for (const record of readTarSplit(target())) {
      if (record.kind === 'segment') expect(record.payload.length).toBeLessThanOrEqual(1 << 16);
    }
  });
});

describe('a tar-split file', () => {
  const archive = craftedArchive(
    craftedMember({ name: 'a' }, 'content of a'),
    craftedMember({ name: 'b' }, 'content of b'),
  );

  it('is private, gzip over lines of JSON, with positions that count up', () => {
    split([archive], target());
    expect(statSync(target()).mode & 0o777).toBe(0o600);
    const lines = gunzipSync(readFileSync(target())).toString().trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { position: number }).position)).toEqual([0, 1, 2, 3, 4]);
    expect(lines[1]).toMatch(/^\{"type":1,"name":"a","size":12,"payload":"[^"]+","position":1\}$/);
  });

  it('takes the content that the layer has lost into itself', () => {
    const twice = craftedArchive(craftedMember({ name: 'a' }, 'first'), craftedMember({ name: 'a' }, 'second'));
    const layer = split([twice], target());
    const files = Array.from(readTarSplit(target())).filter((record) => record.kind === 'file');
    expect(files.map(({ size }) => size)).toEqual([6]);
    expect(joined(target(), layer).equals(twice)).toBe(true);
    expect(readdirSync(scratch).filter((name) => name.includes('inlined'))).toEqual([]);
  });

  it('is not finished with saved content that is not what was lost, and leaves nothing behind', () => {
    const saved = join(scratch, 'saved');
    writeFileSync(saved, 'FIRST');
    const attempt = (): void => {
      using writer = TarSplitWriter.create(target());
      const position = writer.file(Buffer.from('a'), 5);
      writer.payload(Buffer.from('first'));
      writer.finish(new Map([[position, saved]]));
    };
    expect(codeOf(attempt)).toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect(existsSync(`${target()}.inlined`)).toBe(false);
  });

  it('is gone when its writer is given up', () => {
    {
      using writer = TarSplitWriter.create(target());
      writer.segment(Buffer.from('raw'));
      expect(existsSync(target())).toBe(true);
    }
    expect(existsSync(target())).toBe(false);
  });

  it('is never written over', () => {
    writeFileSync(target(), 'precious');
    expect(codeOf(() => TarSplitWriter.create(target())).code).toBe('ERR_IO');
    expect(readFileSync(target(), 'utf8')).toBe('precious');
  });

  it('is refused by its writer when content and announcement differ', () => {
    using writer = TarSplitWriter.create(target());
    writer.file(Buffer.from('a'), 5);
    expect(codeOf(() => writer.payload(Buffer.alloc(6))).code).toBe('ERR_INTERNAL');
    writer.payload(Buffer.alloc(4));
    expect(codeOf(() => writer.segment(Buffer.alloc(1))).code).toBe('ERR_INTERNAL');
    expect(codeOf(() => writer.file(Buffer.from('b'), 0)).code).toBe('ERR_INTERNAL');
    expect(codeOf(() => writer.finish()).code).toBe('ERR_INTERNAL');
  });

  const gzipped = (text: string): void => writeFileSync(target(), gzipSync(text));

  it.each<[string, () => void]>([
    ['empty', () => writeFileSync(target(), '')],
    ['not gzip', () => writeFileSync(target(), '{"type":2,"payload":"","position":0}\n')],
    ['cut short', () => truncateSync(target(), statSync(target()).size - 10)],
    ['cut short in a line', () => gzipped('{"type":2,"payload":"","position":0}\n{"type":2,')],
    ['other JSON', () => gzipped('{"type":9}\n')],
    ['text', () => gzipped('text\n')],
  ])('that is %s is named as damaged', (_, damage) => {
    const layer = split([archive], target());
    damage();
    expect(codeOf(() => joined(target(), layer))).toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect(codeOf(() => joined(target(), layer)).message).toContain(target());
  });

  it('with any damage gives records or a documented error', () => {
    split([archive], target());
    const text = gunzipSync(readFileSync(target()));
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, byte, inside) => {
        const damaged = inside ? Buffer.from(text) : Buffer.from(gzipSync(text));
        damaged[at % damaged.length] = byte;
        writeFileSync(target(), inside ? gzipSync(damaged) : damaged);
        try {
          outcomes.add(`${Array.from(readTarSplit(target())).length} records`);
        } catch (error) {
          outcomes.add(StoreError.is(error) ? error.code : String(error));
        }
      }),
      { numRuns: 400 },
    );
    outcomes.delete('4 records');
    outcomes.delete('6 records');
    expect(outcomes).toEqual(new Set(['5 records', 'ERR_STORE_DAMAGED']));
  });

  it('is read only up to its limits', () => {
    gzipped('{"type":2,"payload":"","position":0}\n'.repeat(5));
    expect(codeOf(() => Array.from(readTarSplit(target(), { records: 4 }))).code).toBe('ERR_LIMIT_EXCEEDED');
    gzipped(' '.repeat(3_000_000));
    expect(codeOf(() => Array.from(readTarSplit(target(), { lineBytes: 2_000_000 }))).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('that does not exist is an error of the file system', () => {
    expect(codeOf(() => Array.from(readTarSplit(join(scratch, 'absent')))).code).toBe('ERR_IO');
  });
});

describe('a file of the layer', () => {
  const archive = craftedArchive(craftedMember({ name: 'etc/file' }, 'content'), craftedMember({ name: 'other' }, 'x'));

  it.each<[string, (path: string) => void]>([
    ['shorter than when it was unpacked', (path) => truncateSync(path, 6)],
    ['empty', (path) => truncateSync(path, 0)],
    ['longer than when it was unpacked', (path) => appendFileSync(path, 'x')],
    ['as long, but with other content', (path) => writeFileSync(path, 'Content')],
  ])('that is %s is named, and closed', (_, change) => {
    const layer = split([archive], target());
    const path = layer.files.get('etc/file')?.path ?? '';
    change(path);
    const open = openDescriptors();
    expect(codeOf(() => joined(target(), layer))).toMatchObject({
      code: 'ERR_STORE_DAMAGED',
      message: expect.stringContaining('etc/file: ') as string,
    });
    expect(openDescriptors()).toBe(open);
  });

  it('that is missing is reported by whoever opens it', () => {
    const layer = split([archive], target());
    layer.files.delete('other');
    expect(codeOf(() => joined(target(), layer)).code).toBe('ERR_NOT_FOUND');
  });

  it('is closed when the archive is not read to its end', () => {
    const large = craftedArchive(craftedMember({ name: 'large' }, Buffer.alloc(3 << 20)));
    const layer = split([large], target());
    const open = openDescriptors();
    for (const chunk of joinTarSplit(target(), layer.open)) {
      expect(chunk).toHaveLength(1 << 20);
      break;
    }
    expect(openDescriptors()).toBe(open);
  });
});

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
