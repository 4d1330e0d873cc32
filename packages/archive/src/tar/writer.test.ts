import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { hasCode } from '@layerstore/core';
import type { EntryType, TarEntry } from './entry.js';
import { TarReader } from './reader.js';
import { encodeHeader, END_OF_ARCHIVE, padding, type TarWriteOptions } from './writer.js';

const empty = Buffer.alloc(0);

const plain: TarEntry = {
  type: 'file',
  name: Buffer.from('etc/passwd'),
  linkName: empty,
  mode: 0o644,
  uid: 0,
  gid: 0,
  userName: empty,
  groupName: empty,
  size: 0,
  modifiedNs: 1_700_000_000_000_000_000n,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
};

function readBack(entry: TarEntry, options?: TarWriteOptions): TarEntry | undefined {
  const content = Buffer.alloc(Math.min(entry.size, 4096));
  return new TarReader([encodeHeader(entry, options), content, padding(content.length), END_OF_ARCHIVE]).next();
}

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc
    .oneof(
      fc.uint8Array({ minLength, maxLength, min: 1 }).map((array) => Buffer.from(array)),
      fc.string({ minLength, maxLength, unit: 'grapheme-ascii' }).map((text) => Buffer.from(text)),
      fc
        .array(fc.constantFrom('a', 'bc', '/', 'ü'), { minLength, maxLength })
        .map((parts) => Buffer.from(parts.join(''))),
    )
    .filter((value) => value.length >= minLength && !value.includes(0));

const xattrs = fc
  .uniqueArray(fc.tuple(bytes(1, 30), fc.uint8Array({ maxLength: 40 })), {
    maxLength: 4,
    selector: ([name]) => name.toString('hex'),
  })
  .map((list) => list.map(([name, value]) => ({ name, value: Buffer.from(value) })));

const time = fc.oneof(
  fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
  fc.integer({ min: -1000, max: 2 ** 34 }).map((seconds) => BigInt(seconds) * 1_000_000_000n),
);

const id = fc.oneof(fc.integer({ min: 0, max: 3_000_000 }), fc.integer({ min: 0, max: 0xfffffffe }));

const entries: fc.Arbitrary<TarEntry> = fc
  .record({
    type: fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'),
    name: bytes(1, 300),
    linkName: bytes(1, 300),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: id,
    gid: id,
    userName: bytes(0, 40),
    groupName: bytes(0, 40),
    size: fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.maxSafeNat()),
    modifiedNs: time,
    accessedNs: fc.option(time, { nil: undefined }),
    changedNs: fc.option(time, { nil: undefined }),
    deviceMajor: fc.integer({ min: 0, max: 0xffffffff }),
    deviceMinor: fc.integer({ min: 0, max: 0xffffffff }),
    xattrs,
  })
  .map(({ accessedNs, changedNs, ...entry }) => {
    const device = entry.type === 'character' || entry.type === 'block';
    return {
      ...entry,
      linkName: entry.type === 'symlink' || entry.type === 'hardlink' ? entry.linkName : empty,
      size: entry.type === 'file' ? entry.size : 0,
      deviceMajor: device ? entry.deviceMajor : 0,
      deviceMinor: device ? entry.deviceMinor : 0,
      ...(accessedNs === undefined ? {} : { accessedNs }),
      ...(changedNs === undefined ? {} : { changedNs }),
    };
  });

// Names longer than a component are legal bytes here: the property is about the codec, not about the kernel.
const anyName = { componentBytes: 4096 };

describe('an encoded header', () => {
  it('reads back as the entry it was made from, whatever its bytes', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const reader = new TarReader([encodeHeader(entry)], { limits: anyName });
        expect(reader.next()).toEqual(entry);
      }),
      { numRuns: 400 },
    );
  });

  it('is made of whole blocks, its records in a fixed order', () => {
    const entry: TarEntry = {
      ...plain,
      name: Buffer.from('bin/ü'),
      uid: 3_000_000,
      modifiedNs: -1n,
      accessedNs: 5n,
      xattrs: [
        { name: Buffer.from('user.z=%3D'), value: Buffer.from([0, 255, 10]) },
        { name: Buffer.from('user.a'), value: empty },
      ],
    };
    const header = encodeHeader(entry);
    expect(header).toHaveLength(3 * 512);
    expect(header.toString('latin1', 0, 100).replace(/\0+$/, '')).toBe('PaxHeaders/');
    expect(header.toString('latin1', 512, 1024).replace(/\0+$/, '')).toBe(
      [
        '15 path=bin/\xc3\xbc\n',
        '15 uid=3000000\n',
        '22 mtime=-0.000000001\n',
        '21 atime=0.000000005\n',
        '35 SCHILY.xattr.user.z%3D%253D=\0\xff\n\n',
        '24 SCHILY.xattr.user.a=\n',
      ].join(''),
    );
  });

  it.each<[string, Partial<TarEntry>]>([
    ['an ordinary file', {}],
    ['a name of 100 bytes', { name: Buffer.alloc(100, 'n') }],
    ['a name that splits into prefix and name', { name: Buffer.from(`${'p'.repeat(155)}/${'n'.repeat(100)}`) }],
    [
      'a directory whose slash would leave an empty name',
      { name: Buffer.from(`${'p'.repeat(60)}/${'n'.repeat(60)}/`) },
    ],
    ['the largest octal ids', { uid: 0o7777777, gid: 0o7777777 }],
    ['a link target of 100 bytes', { type: 'symlink', linkName: Buffer.alloc(100, 't') }],
  ])('takes one block for %s', (_, change) => {
    expect(encodeHeader({ ...plain, ...change })).toHaveLength(512);
    expect(readBack({ ...plain, ...change })).toEqual({ ...plain, ...change });
  });

  it.each<[string, Partial<TarEntry>]>([
    ['a name of 101 bytes without a slash', { name: Buffer.alloc(101, 'n') }],
    ['a name with no slash in the right place', { name: Buffer.from(`/${'n'.repeat(101)}`) }],
    ['a name beyond ASCII', { name: Buffer.from('ü') }],
    ['a link target of 101 bytes', { type: 'symlink', linkName: Buffer.alloc(101, 't') }],
    ['an id over 2,097,151', { uid: 2_097_152 }],
    ['a size of 8 GiB', { size: 8 ** 11 }],
    ['a fraction of a second', { modifiedNs: 1n }],
    ['a time before 1970', { modifiedNs: -1_000_000_000n }],
    ['an access time', { accessedNs: 0n }],
    ['an attribute', { xattrs: [{ name: Buffer.from('user.a'), value: empty }] }],
    ['a device number over 2,097,151', { type: 'block', deviceMinor: 2_097_152 }],
  ])('takes PAX records for %s', (_, change) => {
    expect(encodeHeader({ ...plain, ...change }).length).toBeGreaterThan(512);
    expect(readBack({ ...plain, ...change })).toEqual({ ...plain, ...change });
  });

  it('says that text is binary only where it is not UTF-8', () => {
    expect(encodeHeader({ ...plain, name: Buffer.from('ü') }).includes('hdrcharset')).toBe(false);
    expect(encodeHeader({ ...plain, name: Buffer.from([0xff]) }).includes('21 hdrcharset=BINARY\n')).toBe(true);
  });

  it('has only the permission bits of the mode', () => {
    expect(readBack({ ...plain, mode: 0o104755 })?.mode).toBe(0o4755);
    expect(encodeHeader({ ...plain, mode: 0o104755 }).toString('latin1', 100, 108)).toBe('0004755\0');
  });

  it('rounds times down to seconds where that is asked for, also before 1970', () => {
    const times = { modifiedNs: 1_999_999_999n, accessedNs: -1n, changedNs: -1_000_000_000n };
    expect(readBack({ ...plain, ...times }, { timestamps: 'seconds' })).toMatchObject({
      modifiedNs: 1_000_000_000n,
      accessedNs: -1_000_000_000n,
      changedNs: -1_000_000_000n,
    });
    expect(encodeHeader({ ...plain, modifiedNs: 1_999_999_999n }, { timestamps: 'seconds' })).toHaveLength(512);
  });

  it('does not look at the segments of a sparse file', () => {
    const entry = { ...plain, size: 10, sparse: [{ offset: 1, length: 2 }] };
    expect(encodeHeader(entry).equals(encodeHeader({ ...plain, size: 10 }))).toBe(true);
  });

  it.each<[string, Partial<TarEntry>]>([
    ['an empty name', { name: empty }],
    ['a NUL in the name', { name: Buffer.from('a\0b') }],
    ['a link without a target', { type: 'hardlink' }],
    ['a NUL in the target', { type: 'symlink', linkName: Buffer.from('a\0b') }],
    ['a NUL in a user name', { userName: Buffer.from('a\0b') }],
    ['an attribute without a name', { xattrs: [{ name: empty, value: empty }] }],
  ])('is refused for %s', (_, change) => {
    expect(codeOf(() => encodeHeader({ ...plain, ...change }))).toBe('ERR_INVALID_ARGUMENT');
  });

  it('is refused when readers would refuse it for its size', () => {
    const value = Buffer.alloc(1 << 16);
    const many = Array.from({ length: 17 }, (_, index) => ({ name: Buffer.from(`user.${index}`), value }));
    expect(codeOf(() => encodeHeader({ ...plain, xattrs: many }))).toBe('ERR_LIMIT_EXCEEDED');
  });
});

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (hasCode(error, 'ERR_INVALID_ARGUMENT', 'ERR_LIMIT_EXCEEDED')) return error.code;
    throw error;
  }
  return 'no error';
}
