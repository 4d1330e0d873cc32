import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { hasCode, type ErrorCode } from '@layerstore/core';
import { END_OF_ARCHIVE } from './block.js';
import { craftedArchive, craftedHeader, craftedMember, craftedPax } from './crafted.js';
import type { TarEntry } from './entry.js';
import type { TarLimits } from './limits.js';
import { TarReader } from './reader.js';

interface ReadMember {
  readonly entry: TarEntry;
  readonly content: string;
}

function read(archive: Buffer, limits?: Partial<TarLimits>): ReadMember[] {
  const reader = new TarReader([archive], limits === undefined ? {} : { limits });
  const members: ReadMember[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const content = Buffer.alloc(entry.size);
    for (const chunk of reader.payload()) chunk.data.copy(content, chunk.offset);
    members.push({ entry, content: content.toString('latin1') });
  }
  return members;
}

function readOne(...members: Buffer[]): ReadMember {
  const [member, ...rest] = read(craftedArchive(...members));
  expect(rest).toEqual([]);
  if (member === undefined) throw new Error('the archive has no member');
  return member;
}

const names = (archive: Buffer): string[] => read(archive).map((member) => member.entry.name.toString());

function failure(archive: Buffer, limits?: Partial<TarLimits>): { code: ErrorCode; message: string } {
  try {
    read(archive, limits);
  } catch (error) {
    if (hasCode(error, 'ERR_MALFORMED_ARCHIVE', 'ERR_TRUNCATED', 'ERR_LIMIT_EXCEEDED', 'ERR_UNSUPPORTED_FORMAT')) {
      return { code: error.code, message: error.message };
    }
    throw error;
  }
  throw new Error('the archive was accepted');
}

const uint = (bytes: number, value: bigint): Buffer => {
  const field = Buffer.alloc(bytes);
  for (let index = 0; index < bytes; index += 1) {
    field[bytes - 1 - index] = Number(BigInt.asUintN(8, value >> BigInt(8 * index)));
  }
  field[0] = (field[0] ?? 0) | 0x80;
  return field;
};

describe('a header', () => {
  it('gives every field of a ustar member', () => {
    const { entry, content } = readOne(
      craftedMember(
        {
          name: 'usr/bin/tool',
          mode: 0o104755,
          uid: 12,
          gid: 34,
          modified: 1_700_000_000,
          patches: [
            [265, Buffer.from('wheel-owner')],
            [297, Buffer.from('wheel')],
            [345, Buffer.from('a/prefix')],
          ],
        },
        'payload',
      ),
    );
    expect(content).toBe('payload');
    expect(entry).toEqual({
      type: 'file',
      name: Buffer.from('a/prefix/usr/bin/tool'),
      linkName: Buffer.alloc(0),
      mode: 0o4755,
      uid: 12,
      gid: 34,
      userName: Buffer.from('wheel-owner'),
      groupName: Buffer.from('wheel'),
      size: 7,
      modifiedNs: 1_700_000_000_000_000_000n,
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: [],
    });
  });

  it.each([
    ['0', 'file', 'file'],
    ['\0', 'file', 'file'],
    ['\0', 'dir/', 'directory'],
    ['7', 'file', 'file'],
    ['1', 'file', 'hardlink'],
    ['2', 'file', 'symlink'],
    ['3', 'file', 'character'],
    ['4', 'file', 'block'],
    ['5', 'dir', 'directory'],
    ['6', 'file', 'fifo'],
    ['0', 'dir/', 'file'],
  ])('of type %j and name %s is a %s, as in Go', (type, name, expected) => {
    expect(readOne(craftedMember({ type, name, linkName: 'target' })).entry.type).toBe(expected);
  });

  it.each(['A', 'M', 'N', 'X', 'Z', '8', '\xff'])('of type %j is refused by name', (type) => {
    expect(failure(craftedArchive(craftedMember({ type }))).code).toBe('ERR_UNSUPPORTED_FORMAT');
  });

  it('of a GNU volume label is passed over with its content', () => {
    const archive = craftedArchive(
      craftedMember({ type: 'V', name: 'label' }, 'junk'),
      craftedMember({ name: 'file' }),
    );
    expect(names(archive)).toEqual(['file']);
  });

  it('of a GNU dump directory is a directory without content', () => {
    const archive = craftedArchive(
      craftedMember({ type: 'D', name: 'd/' }, 'Yfile\0\0'),
      craftedMember({ name: 'file' }),
    );
    expect(read(archive).map(({ entry }) => [entry.type, entry.size])).toEqual([
      ['directory', 0],
      ['file', 0],
    ]);
  });

  it('without the ustar magic has no user names, prefix or device numbers', () => {
    const { entry } = readOne(
      craftedMember({
        magic: 'v7',
        name: 'file',
        patches: [
          [265, Buffer.from('user')],
          [345, Buffer.from('prefix')],
        ],
      }),
    );
    expect(entry.name.toString()).toBe('file');
    expect(entry.userName).toHaveLength(0);
  });

  it('of a GNU archive keeps the access and change times', () => {
    const { entry } = readOne(
      craftedMember({
        magic: 'gnu',
        patches: [
          [345, Buffer.from('00000000012\0')],
          [357, Buffer.from('00000000013\0')],
        ],
      }),
    );
    expect([entry.accessedNs, entry.changedNs]).toEqual([10_000_000_000n, 11_000_000_000n]);
    expect(entry.name.toString()).toBe('file');
  });

  it('of a star archive has a shorter prefix and times behind it', () => {
    const { entry } = readOne(
      craftedMember({
        patches: [
          [345, Buffer.from('prefix')],
          [476, Buffer.from('00000000012 ')],
          [488, Buffer.from('00000000013 ')],
          [508, Buffer.from('tar\0')],
        ],
      }),
    );
    expect(entry.name.toString()).toBe('prefix/file');
    expect([entry.accessedNs, entry.changedNs]).toEqual([10_000_000_000n, 11_000_000_000n]);
  });

  it('of Docker before 1.13 has a prefix behind a GNU magic (golang/go#12594)', () => {
    const { entry } = readOne(
      craftedMember({ magic: 'gnu', name: 'foo', uid: uint(8, 2_097_152n), patches: [[345, Buffer.alloc(95, 'a')]] }),
    );
    expect(entry.name.toString()).toBe(`${'a'.repeat(95)}/foo`);
    expect(entry.uid).toBe(2_097_152);
  });

  it('may carry base-256 numbers, negative ones included', () => {
    const { entry } = readOne(
      craftedMember({
        magic: 'gnu',
        uid: uint(8, 3_000_000n),
        gid: uint(8, 4_294_967_294n),
        modified: uint(12, -62_135_596_800n),
      }),
    );
    expect([entry.uid, entry.gid, entry.modifiedNs]).toEqual([3_000_000, 4_294_967_294, -62_135_596_800_000_000_000n]);
  });

  it('may have a checksum over signed bytes, as old tars wrote it', () => {
    const block = craftedHeader({ name: Buffer.from([0xe9, 0x74, 0xe9]) });
    const unsigned = Number.parseInt(block.toString('latin1', 148, 155), 8);
    block.write(`${(unsigned - 512).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(read(craftedArchive(block))[0]?.entry.name).toEqual(Buffer.from([0xe9, 0x74, 0xe9]));
  });

  it('with a wrong checksum is refused', () => {
    const block = craftedHeader({});
    block[0] = 0x46;
    expect(failure(craftedArchive(block))).toEqual({
      code: 'ERR_MALFORMED_ARCHIVE',
      message: 'archive member 1 at byte 0: the header checksum does not match',
    });
  });

  it.each([
    ['a mode that is not a number', craftedHeader({ patches: [[100, Buffer.from('rwxr-xr')]] })],
    ['no name', craftedHeader({ name: '' })],
    ['a link without a target', craftedHeader({ type: '2' })],
    ['a negative size', craftedHeader({ size: uint(12, -1n) })],
    ['a size beyond 2^53', craftedHeader({ size: uint(12, 1n << 60n) })],
    ['a user id beyond 32 bits', craftedHeader({ uid: uint(8, 1n << 32n) })],
    ['the user id that chown takes for "unchanged"', craftedHeader({ uid: uint(8, 0xffffffffn) })],
    ['a negative group id', craftedHeader({ gid: uint(8, -2n) })],
  ])('with %s is refused', (_, header) => {
    expect(failure(craftedArchive(header)).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it.each(['1', '2', '3', '4', '5', '6'])('of type %s has no payload whatever its size says, as in Go', (type) => {
    const archive = craftedArchive(
      craftedHeader({ type, linkName: 'target', size: 512 }),
      craftedMember({ name: 'next' }, 'content'),
    );
    expect(read(archive).map(({ entry, content }) => [entry.name.toString(), entry.size, content])).toEqual([
      ['file', 0, ''],
      ['next', 7, 'content'],
    ]);
  });
});

describe('PAX records', () => {
  it('override the header', () => {
    const { entry, content } = readOne(
      craftedPax({
        path: 'path/from/pax',
        size: '3',
        uid: '3000000',
        gid: '4000000',
        uname: Buffer.from('ütf'),
        gname: Buffer.from([0xff]),
        mtime: '-1.5',
        atime: '2.000000001',
        ctime: '3',
        hdrcharset: 'BINARY',
        comment: 'ignored',
      }),
      craftedHeader({ size: 0 }),
      Buffer.concat([Buffer.from('abc'), Buffer.alloc(509)]),
    );
    expect(content).toBe('abc');
    expect(entry).toMatchObject({
      name: Buffer.from('path/from/pax'),
      size: 3,
      uid: 3_000_000,
      gid: 4_000_000,
      userName: Buffer.from('ütf'),
      groupName: Buffer.from([0xff]),
      modifiedNs: -1_500_000_000n,
      accessedNs: 2_000_000_001n,
      changedNs: 3_000_000_000n,
    });
  });

  it('that are empty leave the value of the header', () => {
    const { entry } = readOne(craftedPax({ path: '', uid: '', mtime: '' }), craftedMember({ uid: 7, modified: 9 }));
    expect([entry.name.toString(), entry.uid, entry.modifiedNs]).toEqual(['file', 7, 9_000_000_000n]);
  });

  it('count for one member only', () => {
    const archive = craftedArchive(craftedPax({ path: 'a' }), craftedMember({}), craftedMember({ name: 'b' }));
    expect(names(archive)).toEqual(['a', 'b']);
  });

  it('of the last of several headers count, those before it are forgotten', () => {
    const { entry } = readOne(
      craftedPax({ path: 'first', uid: '1' }),
      craftedPax({ uid: '2' }),
      craftedMember({ name: 'header' }),
    );
    expect([entry.name.toString(), entry.uid]).toEqual(['header', 2]);
  });

  it('of a global header count for all that follow, until an empty value deletes them', () => {
    const members = read(
      craftedArchive(
        craftedMember({ name: '1' }),
        craftedPax({ uid: '5', gname: 'group' }, 'g'),
        craftedMember({ name: '2' }),
        craftedPax({ gid: '6' }, 'g'),
        craftedPax({ uid: '8' }),
        craftedMember({ name: '3' }),
        craftedPax({ uid: '' }, 'g'),
        craftedMember({ name: '4' }),
        craftedPax({ gid: '' }),
        craftedMember({ name: '5', gid: 9 }),
      ),
    );
    expect(members.map(({ entry }) => [entry.uid, entry.gid, entry.groupName.toString()])).toEqual([
      [0, 0, ''],
      [5, 0, 'group'],
      [8, 6, 'group'],
      [0, 6, 'group'],
      [0, 9, 'group'],
    ]);
  });

  it('NEVER change the size of an extension header between them and their member', () => {
    const hidden = craftedMember({ name: 'HIDDEN' });
    const archive = craftedArchive(
      craftedPax({ size: String(512 + hidden.length) }),
      craftedMember({ type: 'L', magic: 'gnu', name: '././@LongLink' }, 'long-name\0'),
      craftedMember({ name: 'short' }, Buffer.concat([Buffer.alloc(512), hidden])),
    );
    expect(names(archive)).toEqual(['long-name']);
  });

  it('carry attributes as bytes, in their order, the later of two winning', () => {
    const value = Buffer.from([0, 1, 0xff, 0x0a, 0x3d]);
    const { entry } = readOne(
      craftedPax({
        'SCHILY.xattr.security.capability': value,
        'SCHILY.xattr.user.empty': '',
        'SCHILY.xattr.user.a%3Db%25c%41': 'percent',
        'LIBARCHIVE.xattr.security.capability': value.toString('base64'),
        'LIBARCHIVE.xattr.user.%c3%a9%3d': Buffer.from('x').toString('base64'),
      }),
      craftedMember({}),
    );
    expect(entry.xattrs).toEqual([
      { name: Buffer.from('security.capability'), value },
      { name: Buffer.from('user.empty'), value: Buffer.alloc(0) },
      { name: Buffer.from('user.a=b%c%41'), value: Buffer.from('percent') },
      { name: Buffer.from('user.é='), value: Buffer.from('x') },
    ]);
  });

  it('give device numbers that do not fit the header', () => {
    const { entry } = readOne(
      craftedPax({ 'SCHILY.devmajor': '4194304', 'SCHILY.devminor': '9' }),
      craftedMember({ type: '4', patches: [[329, Buffer.from('0000001\x000000002\0')]] }),
    );
    expect([entry.deviceMajor, entry.deviceMinor]).toEqual([4_194_304, 9]);
  });

  const record = (text: string): Buffer =>
    craftedArchive(craftedMember({ type: 'x' }, Buffer.from(text, 'latin1')), craftedMember({}));

  it.each([
    ['no length', record('path=a\n')],
    ['a length that is no number', record('x5 path=a\n')],
    ['a length beyond the block', record('99 path=a\n')],
    ['a length that ends early', record('9 path=abc\n')],
    ['a length too short for any record', record('4 a\n')],
    ['no newline at the end', record('10 path=ab')],
    ['no value', record('9 path a\n')],
    ['a NUL in a key', record('10 pa\0h=a\n')],
    ['a NUL in a path', record('12 path=a\0b\n')],
    ['a NUL in an attribute name', record('26 SCHILY.xattr.user.\0a=b\n')],
    ['an attribute without a name', record('18 SCHILY.xattr.=b\n')],
    ['an endless length', record('1'.repeat(400))],
    ['a user id that is not a number', record('9 uid=-1\n')],
    ['a time that is not a number', record('12 mtime=1e3\n')],
    ['a size that is not a number', record('10 size=0x\n')],
  ])('with %s are refused', (_, archive) => {
    expect(failure(archive).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('without a member after them are refused', () => {
    expect(failure(craftedArchive(craftedPax({ path: 'a' }))).code).toBe('ERR_MALFORMED_ARCHIVE');
    expect(failure(craftedPax({ path: 'a' })).code).toBe('ERR_MALFORMED_ARCHIVE');
    expect(names(craftedArchive(craftedPax({ comment: 'only global' }, 'g')))).toEqual([]);
  });
});

describe('GNU long names', () => {
  const long = (type: 'L' | 'K', text: string): Buffer => craftedMember({ type, magic: 'gnu' }, text);

  it('replace name and target, end at a NUL, and win over PAX', () => {
    const { entry } = readOne(
      craftedPax({ path: 'pax', linkpath: 'pax-target' }),
      long('L', `${'n'.repeat(200)}/x\0after`),
      long('K', `${'t'.repeat(200)}\0`),
      craftedMember({ type: '2', name: 'short', linkName: 'short-target' }),
    );
    expect(entry.name.toString()).toBe(`${'n'.repeat(200)}/x`);
    expect(entry.linkName.toString()).toBe('t'.repeat(200));
  });

  it('count for one member only, the last of several winning', () => {
    const archive = craftedArchive(
      long('L', 'first\0'),
      long('L', 'second\0'),
      craftedMember({ name: 'a' }),
      craftedMember({ name: 'b' }),
    );
    expect(names(archive)).toEqual(['second', 'b']);
  });

  it('that are empty leave the name of the header', () => {
    expect(names(craftedArchive(long('L', '\0'), craftedMember({ name: 'a' })))).toEqual(['a']);
  });
});

describe('a sparse map', () => {
  const gnuNumbers = (...numbers: number[]): Buffer =>
    Buffer.from(numbers.map((number) => `${number.toString(8).padStart(11, '0')}\0`).join(''));

  const oldGnu = (size: number, map: readonly number[], packed: string, extension?: readonly Buffer[]): Buffer => {
    const header = craftedHeader({
      type: 'S',
      magic: 'gnu',
      size: packed.length,
      patches: [
        [386, gnuNumbers(...map)],
        [482, Buffer.from([extension === undefined ? 0 : 1])],
        [483, gnuNumbers(size)],
      ],
    });
    return Buffer.concat([header, ...(extension ?? []), Buffer.from(packed), Buffer.alloc(512 - packed.length)]);
  };

  const sparse1 = (size: string, map: string, packed: string): Buffer[] => {
    const payload = Buffer.concat([
      Buffer.from(map),
      Buffer.alloc((512 - (map.length % 512)) % 512),
      Buffer.from(packed),
    ]);
    return [
      craftedPax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'real-name',
        'GNU.sparse.realsize': size,
      }),
      craftedMember({ name: 'GNUSparseFile.1/x' }, payload),
    ];
  };

  const sparse00 = (records: readonly string[], packed: string): Buffer[] => [
    craftedMember({ type: 'x' }, records.map((text) => `${text.length + 4} ${text}\n`).join('')),
    craftedMember({}, packed),
  ];

  it('of the old GNU form is expanded', () => {
    const { entry, content } = readOne(oldGnu(10, [1, 2, 6, 3], 'abcde'));
    expect(content).toBe('\0ab\0\0\0cde\0');
    expect(entry).toMatchObject({
      type: 'file',
      size: 10,
      sparse: [
        { offset: 1, length: 2 },
        { offset: 6, length: 3 },
      ],
    });
  });

  it('of the old GNU form may go on in further blocks', () => {
    const full = [0, 1, 2, 1, 4, 1, 6, 1];
    const block = (numbers: number[], more: boolean): Buffer => {
      const bytes = Buffer.alloc(512);
      gnuNumbers(...numbers).copy(bytes);
      bytes[504] = more ? 1 : 0;
      return bytes;
    };
    const second = Array.from({ length: 21 }, (_, index) => [8 + 2 * index, 1]).flat();
    const archive = oldGnu(60, full, 'abcd'.padEnd(26, '.'), [block(second, true), block([52, 1], false)]);
    const { entry, content } = readOne(archive);
    expect(entry.sparse).toHaveLength(26);
    expect(content.slice(0, 8)).toBe('a\0b\0c\0d\0');
    expect(content.slice(48)).toBe('.\0\0\0.\0\0\0\0\0\0\0');
  });

  it.each([
    [
      '0.0',
      sparse00(
        [
          'GNU.sparse.size=09',
          'GNU.sparse.offset=1',
          'GNU.sparse.numbytes=2',
          'GNU.sparse.offset=8',
          'GNU.sparse.numbytes=1',
        ],
        'abc',
      ),
    ],
    [
      '0.1',
      [
        craftedPax({
          'GNU.sparse.size': '9',
          'GNU.sparse.numblocks': '2',
          'GNU.sparse.name': 'file',
          'GNU.sparse.map': '1,2,8,1',
        }),
        craftedMember({ name: 'GNUSparseFile.0/x' }, 'abc'),
      ],
    ],
    ['1.0', sparse1('9', '2\n1\n2\n8\n1\n', 'abc')],
  ])('of the PAX form %s is expanded', (_, members) => {
    const { content, entry } = readOne(...members);
    expect(content).toBe('\0ab\0\0\0\0\0c');
    expect(entry.sparse).toEqual([
      { offset: 1, length: 2 },
      { offset: 8, length: 1 },
    ]);
    expect(entry.name.toString()).not.toContain('GNUSparseFile');
  });

  it('of the PAX form 1.0 may be longer than a block', () => {
    const count = 200;
    const map = [count, ...Array.from({ length: count }, (_, index) => [index * 1000, 1]).flat()].join('\n');
    const { entry, content } = readOne(...sparse1('200000', `${map}\n`, 'x'.repeat(count)));
    expect(entry.sparse).toHaveLength(count);
    expect(content).toHaveLength(200_000);
    expect(content.indexOf('x', 1)).toBe(1000);
  });

  it('of a file that is one hole has no segments', () => {
    const { entry, content } = readOne(...sparse1('4', '1\n4\n0\n', ''));
    expect(entry.sparse).toEqual([]);
    expect(content).toBe('\0\0\0\0');
  });

  it.each([
    ['overlapping segments', oldGnu(10, [1, 3, 2, 2], 'abcde')],
    ['descending segments', oldGnu(10, [6, 3, 1, 2], 'abcde')],
    ['a segment beyond the file', oldGnu(8, [1, 2, 6, 3], 'abcde')],
    ['more data than segments', oldGnu(10, [1, 2], 'abcde')],
    ['less data than segments', oldGnu(10, [1, 9], 'abcde')],
    ['a map that is not text', Buffer.concat(sparse1('9', '2\nx\n', 'abc'))],
    ['a map that does not end', Buffer.concat(sparse1('9', '900\n1\n', 'abc'))],
    ['an empty line in the map', Buffer.concat(sparse1('9', '2\n\n', 'abc'))],
    ['a map number beyond 2^53', Buffer.concat(sparse1('9', '99999999999999999999\n', 'abc'))],
    ['a size that is not a number', Buffer.concat(sparse1('-9', '2\n1\n2\n8\n1\n', 'abc'))],
    ['pairs in the wrong order', Buffer.concat(sparse00(['GNU.sparse.size=09', 'GNU.sparse.numbytes=1'], 'a'))],
    ['half a pair', Buffer.concat(sparse00(['GNU.sparse.size=09', 'GNU.sparse.offset=1'], ''))],
    ['no size', Buffer.concat(sparse00(['GNU.sparse.offset=1', 'GNU.sparse.numbytes=1'], 'a'))],
    [
      'a list that is not of numbers',
      Buffer.concat([craftedPax({ 'GNU.sparse.size': '9', 'GNU.sparse.map': '1,b' }), craftedMember({})]),
    ],
    [
      'a type that is no file',
      Buffer.concat([craftedPax({ 'GNU.sparse.size': '0', 'GNU.sparse.map': '' }), craftedMember({ type: '5' })]),
    ],
  ])('with %s is refused', (_, member) => {
    expect(failure(craftedArchive(member)).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('of type S without the GNU magic is refused, as in Go', () => {
    expect(failure(craftedArchive(craftedHeader({ type: 'S' }))).code).toBe('ERR_UNSUPPORTED_FORMAT');
  });

  it('of an unknown version is refused instead of being taken for an ordinary file', () => {
    const records = { 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' };
    expect(failure(craftedArchive(craftedPax(records), craftedMember({}))).code).toBe('ERR_UNSUPPORTED_FORMAT');
  });
});

describe('the end of an archive', () => {
  const member = craftedMember({ name: 'a' }, 'content');

  it.each([
    ['two blocks of zeros', craftedArchive(member)],
    ['one block of zeros', Buffer.concat([member, Buffer.alloc(512)])],
    ['no block of zeros', member],
    ['no padding', member.subarray(0, 512 + 7)],
    ['part of its padding', member.subarray(0, 512 + 300)],
    ['part of a block of zeros', Buffer.concat([member, Buffer.alloc(100)])],
    ['part of the second block of zeros', Buffer.concat([member, Buffer.alloc(600)])],
    ['garbage behind it', Buffer.concat([craftedArchive(member), Buffer.from('garbage')])],
    [
      'another archive behind it',
      Buffer.concat([craftedArchive(member), craftedArchive(craftedMember({ name: 'b' }))]),
    ],
  ])('may be %s', (_, archive) => {
    expect(read(archive).map(({ entry, content }) => [entry.name.toString(), content])).toEqual([['a', 'content']]);
  });

  it('may come at once', () => {
    expect(read(Buffer.alloc(0))).toEqual([]);
    expect(read(END_OF_ARCHIVE)).toEqual([]);
  });

  it('is not a single block of zeros between members, as in Go', () => {
    expect(failure(Buffer.concat([Buffer.alloc(512), member])).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it.each([
    ['a header', 300],
    ['content', 515],
  ])('inside %s is an error', (_, length) => {
    expect(failure(member.subarray(0, length))).toMatchObject({ code: 'ERR_TRUNCATED' });
  });

  it('inside an extension header, its padding or a sparse map is an error', () => {
    const pax = craftedPax({ path: 'a' });
    expect(failure(pax.subarray(0, 515)).code).toBe('ERR_TRUNCATED');
    expect(failure(pax.subarray(0, 600)).code).toBe('ERR_MALFORMED_ARCHIVE');
    const sparse = craftedHeader({ type: 'S', magic: 'gnu', patches: [[482, Buffer.from('\x0100000000000\0')]] });
    expect(failure(sparse).code).toBe('ERR_TRUNCATED');
  });

  it('stays the end, and an error stays the error', () => {
    const reader = new TarReader([craftedArchive(member)]);
    reader.next();
    expect([reader.next(), reader.next()]).toEqual([undefined, undefined]);
    const broken = new TarReader([member.subarray(0, 515)]);
    broken.next();
    expect(() => Array.from(broken.payload())).toThrow('ends inside a member');
    expect(() => broken.next()).toThrow('archive member 1 at byte 0: the archive ends inside a member');
  });
});

describe('a limit', () => {
  it.each<[string, Partial<TarLimits>, Buffer]>([
    ['members', { members: 2 }, craftedArchive(craftedMember({}), craftedPax({ uid: '1' }), craftedMember({}))],
    ['extension bytes', { extensionBytes: 100 }, craftedArchive(craftedPax({ comment: 'x'.repeat(100) }))],
    ['long-name bytes', { extensionBytes: 100 }, craftedArchive(craftedMember({ type: 'L' }, 'x'.repeat(101)))],
    [
      'global bytes',
      { extensionBytes: 100 },
      craftedArchive(craftedPax({ a: 'x'.repeat(60) }, 'g'), craftedPax({ b: 'x'.repeat(60) }, 'g')),
    ],
    ['path bytes', { pathBytes: 10 }, craftedArchive(craftedMember({ name: 'a/'.repeat(6) }))],
    ['target bytes', { pathBytes: 10 }, craftedArchive(craftedMember({ type: '2', linkName: 'a/'.repeat(6) }))],
    ['component bytes', { componentBytes: 10 }, craftedArchive(craftedMember({ name: `a/${'b'.repeat(11)}/c` }))],
    [
      'component bytes of a hard link',
      { componentBytes: 10 },
      craftedArchive(craftedMember({ type: '1', linkName: 'b'.repeat(11) })),
    ],
    [
      'attribute bytes',
      { xattrBytes: 10 },
      craftedArchive(craftedPax({ 'SCHILY.xattr.user.a': 'x'.repeat(11) }), craftedMember({})),
    ],
    [
      'sparse segments',
      { sparseSegments: 1 },
      craftedArchive(craftedPax({ 'GNU.sparse.size': '9', 'GNU.sparse.map': '1,1,3,1' }), craftedMember({}, 'ab')),
    ],
  ])('of %s is kept', (_, limits, archive) => {
    expect(failure(archive, limits).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('by default refuses a header that claims gigabytes, without reserving them', () => {
    const claim = craftedHeader({ type: 'x', size: 8 ** 11 - 1 });
    expect(failure(claim)).toEqual({
      code: 'ERR_LIMIT_EXCEEDED',
      message: 'archive member 1 at byte 0: bytes of an extension header exceed the limit of 1048576',
    });
  });

  it('allows a long symlink target whose components no file could have', () => {
    const target = 'x'.repeat(300);
    const archive = craftedArchive(craftedPax({ linkpath: target }), craftedMember({ type: '2' }));
    expect(read(archive)[0]?.entry.linkName.toString()).toBe(target);
  });
});

describe('the payload', () => {
  const archive = craftedArchive(
    craftedMember({ name: 'a' }, 'a'.repeat(1500)),
    craftedPax({ path: 'b' }),
    craftedMember({ name: 'short' }, 'b'.repeat(20)),
    craftedMember({ name: 'c' }),
  );

  it('is a slice of the source, not a copy', () => {
    const reader = new TarReader([archive]);
    reader.next();
    const [chunk] = reader.payload();
    expect(chunk?.data.buffer).toBe(archive.buffer);
  });

  it.each([
    ['a PAX record', [craftedPax({ size: String(10 * 2 ** 30) }), craftedHeader({ size: 0 })]],
    ['a base-256 number', [craftedHeader({ magic: 'gnu', size: uint(12, 10n * 2n ** 30n) })]],
  ])('may be larger than octal can say, by %s', (_, header) => {
    const mebibyte = Buffer.alloc(2 ** 20);
    function* source(): Generator<Buffer> {
      yield* header;
      for (let index = 0; index < 10 * 1024; index += 1) yield mebibyte;
      yield END_OF_ARCHIVE;
    }
    const reader = new TarReader(source());
    expect(reader.next()?.size).toBe(10 * 2 ** 30);
    let end = 0;
    for (const { data, offset } of reader.payload()) {
      if (offset !== end) throw new Error(`a chunk begins at ${offset} instead of ${end}`);
      end += data.length;
    }
    expect(end).toBe(10 * 2 ** 30);
    expect(reader.next()).toBeUndefined();
  });

  it('that is not read, or read in part, is passed over', () => {
    const reader = new TarReader([archive.subarray(0, 700), archive.subarray(700)]);
    reader.next();
    const [first] = reader.payload();
    expect(first?.data).toHaveLength(700 - 512);
    expect(reader.next()?.name.toString()).toBe('b');
    expect(reader.next()?.name.toString()).toBe('c');
    expect(Array.from(reader.payload())).toEqual([]);
  });

  it('of an earlier member is over once the next one is asked for', () => {
    const reader = new TarReader([archive.subarray(0, 700), archive.subarray(700)]);
    reader.next();
    const early = reader.payload();
    reader.next();
    expect(Array.from(early)).toEqual([]);
    expect(Array.from(reader.payload()).map(({ data }) => data.toString())).toEqual(['b'.repeat(20)]);
  });

  it('and all else is shown to the observer in order, however the source is cut', () => {
    const whole = Buffer.concat([archive, Buffer.from('garbage')]);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 12 }),
        fc.boolean(),
        (cuts, consume) => {
          const seen: Buffer[] = [];
          const payloads: Buffer[] = [];
          const observer = {
            segment: (bytes: Buffer) => void seen.push(Buffer.from(bytes)),
            payload: (bytes: Buffer) => {
              seen.push(Buffer.from(bytes));
              payloads.push(Buffer.from(bytes));
            },
          };
          const reader = new TarReader(reusedChunks(whole, cuts), { observer });
          const found: string[] = [];
          for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
            found.push(entry.name.toString());
            if (consume) for (const { data } of reader.payload()) expect(data.length).toBeGreaterThan(0);
          }
          expect(found).toEqual(['a', 'b', 'c']);
          expect(Buffer.concat(seen)).toEqual(whole);
          expect(Buffer.concat(payloads).toString()).toBe('a'.repeat(1500) + 'b'.repeat(20));
        },
      ),
    );
  });

  it('ends with its source when the reader is given up', () => {
    let closed = false;
    function* source(): Generator<Buffer> {
      try {
        yield archive;
      } finally {
        closed = true;
      }
    }
    {
      using reader = new TarReader(source());
      reader.next();
    }
    expect(closed).toBe(true);
  });
});

/** Cuts `whole` at the given places, into one buffer that is overwritten each time, as sources do. */
function* reusedChunks(whole: Buffer, cuts: readonly number[]): Generator<Buffer> {
  const buffer = Buffer.alloc(whole.length);
  const ends = [...cuts, whole.length].sort((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    buffer.fill(0xaa);
    whole.copy(buffer, 0, start, end);
    yield buffer.subarray(0, end - start);
    start = end;
  }
}
