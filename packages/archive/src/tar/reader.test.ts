import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { END_OF_ARCHIVE } from './block.js';
import {
  craftedArchive,
  craftedHeader,
  craftedMember,
  craftedPax,
  readMember,
  readMembers,
  refusal,
} from './crafted.js';
import type { TarLimits } from './limits.js';
import { TarReader } from './reader.js';

const names = (archive: Buffer): string[] => readMembers(archive).map(({ entry }) => entry.name.toString());

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
    const { entry, content } = readMember(
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
    expect(readMember(craftedMember({ type, name, linkName: 'target' })).entry.type).toBe(expected);
  });

  it.each(['A', 'M', 'N', 'X', 'Z', '8', '\xff'])('of type %j is refused by name', (type) => {
    expect(refusal(craftedArchive(craftedMember({ type }))).code).toBe('ERR_UNSUPPORTED_FORMAT');
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
    expect(readMembers(archive).map(({ entry }) => [entry.type, entry.size])).toEqual([
      ['directory', 0],
      ['file', 0],
    ]);
  });

  it('without the ustar magic has no user names, prefix or device numbers', () => {
    const { entry } = readMember(
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
    const { entry } = readMember(
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
    const { entry } = readMember(
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
    const { entry } = readMember(
      craftedMember({ magic: 'gnu', name: 'foo', uid: uint(8, 2_097_152n), patches: [[345, Buffer.alloc(95, 'a')]] }),
    );
    expect(entry.name.toString()).toBe(`${'a'.repeat(95)}/foo`);
    expect(entry.uid).toBe(2_097_152);
  });

  it('may carry base-256 numbers, negative ones included', () => {
    const { entry } = readMember(
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
    expect(readMembers(craftedArchive(block))[0]?.entry.name).toEqual(Buffer.from([0xe9, 0x74, 0xe9]));
  });

  it('with a wrong checksum is refused', () => {
    const block = craftedHeader({});
    block[0] = 0x46;
    expect(refusal(craftedArchive(block))).toEqual({
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
    expect(refusal(craftedArchive(header)).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it.each(['1', '2', '3', '4', '5', '6'])('of type %s has no payload whatever its size says, as in Go', (type) => {
    const archive = craftedArchive(
      craftedHeader({ type, linkName: 'target', size: 512 }),
      craftedMember({ name: 'next' }, 'content'),
    );
    expect(readMembers(archive).map(({ entry, content }) => [entry.name.toString(), entry.size, content])).toEqual([
      ['file', 0, ''],
      ['next', 7, 'content'],
    ]);
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
    expect(readMembers(archive).map(({ entry, content }) => [entry.name.toString(), content])).toEqual([
      ['a', 'content'],
    ]);
  });

  it('may come at once', () => {
    expect(readMembers(Buffer.alloc(0))).toEqual([]);
    expect(readMembers(END_OF_ARCHIVE)).toEqual([]);
  });

  it('is not a single block of zeros between members, as in Go', () => {
    expect(refusal(Buffer.concat([Buffer.alloc(512), member])).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it.each([
    ['a header', 300],
    ['content', 515],
  ])('inside %s is an error', (_, length) => {
    expect(refusal(member.subarray(0, length))).toMatchObject({ code: 'ERR_TRUNCATED' });
  });

  it('inside an extension header, its padding or a sparse map is an error', () => {
    const pax = craftedPax({ path: 'a' });
    expect(refusal(pax.subarray(0, 515)).code).toBe('ERR_TRUNCATED');
    expect(refusal(pax.subarray(0, 600)).code).toBe('ERR_MALFORMED_ARCHIVE');
    const sparse = craftedHeader({ type: 'S', magic: 'gnu', patches: [[482, Buffer.from('\x0100000000000\0')]] });
    expect(refusal(sparse).code).toBe('ERR_TRUNCATED');
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
    ['global records', { globalRecords: 1 }, craftedArchive(craftedPax({ a: '1' }, 'g'), craftedPax({ b: '2' }, 'g'))],
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
    expect(refusal(archive, limits).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('by default refuses a header that claims gigabytes, without reserving them', () => {
    const claim = craftedHeader({ type: 'x', size: 8 ** 11 - 1 });
    expect(refusal(claim)).toEqual({
      code: 'ERR_LIMIT_EXCEEDED',
      message: 'archive member 1 at byte 0: bytes of an extension header exceed the limit of 1048576',
    });
  });

  it('allows a long symlink target whose components no file could have', () => {
    const target = 'x'.repeat(300);
    const archive = craftedArchive(craftedPax({ linkpath: target }), craftedMember({ type: '2' }));
    expect(readMembers(archive)[0]?.entry.linkName.toString()).toBe(target);
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
