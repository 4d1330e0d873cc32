import { describe, expect, it } from 'vitest';
import {
  craftedArchive,
  craftedHeader,
  craftedMember,
  craftedPax,
  readMember,
  readMembers,
  refusal,
} from './crafted.js';

const names = (archive: Buffer): string[] => readMembers(archive).map(({ entry }) => entry.name.toString());

describe('PAX records', () => {
  it('override the header', () => {
    const { entry, content } = readMember(
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
    const { entry } = readMember(craftedPax({ path: '', uid: '', mtime: '' }), craftedMember({ uid: 7, modified: 9 }));
    expect([entry.name.toString(), entry.uid, entry.modifiedNs]).toEqual(['file', 7, 9_000_000_000n]);
  });

  it('count for one member only', () => {
    const archive = craftedArchive(craftedPax({ path: 'a' }), craftedMember({}), craftedMember({ name: 'b' }));
    expect(names(archive)).toEqual(['a', 'b']);
  });

  it('of the last of several headers count, those before it are forgotten', () => {
    const { entry } = readMember(
      craftedPax({ path: 'first', uid: '1' }),
      craftedPax({ uid: '2' }),
      craftedMember({ name: 'header' }),
    );
    expect([entry.name.toString(), entry.uid]).toEqual(['header', 2]);
  });

  it('of a global header count for all that follow, until an empty value deletes them', () => {
    const members = readMembers(
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
    const { entry } = readMember(
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
    const { entry } = readMember(
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
    expect(refusal(archive).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('without a member after them are refused', () => {
    expect(refusal(craftedArchive(craftedPax({ path: 'a' }))).code).toBe('ERR_MALFORMED_ARCHIVE');
    expect(refusal(craftedPax({ path: 'a' })).code).toBe('ERR_MALFORMED_ARCHIVE');
    expect(names(craftedArchive(craftedPax({ comment: 'only global' }, 'g')))).toEqual([]);
  });
});

describe('GNU long names', () => {
  const long = (type: 'L' | 'K', text: string): Buffer => craftedMember({ type, magic: 'gnu' }, text);

  it('replace name and target, end at a NUL, and win over PAX', () => {
    const { entry } = readMember(
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
