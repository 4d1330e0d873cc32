import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AT_FDCWD, nativeSyscalls } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer } from './apply-layer.js';
import { directory, file, FIXED_DAY, hardLink, layerArchive, symlink } from './testing/crafted-layer.js';
import { openDescriptors, refusal, TestDirectory } from './testing/test-tree.js';
import { listTree } from './testing/tree-listing.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);
const day = `at ${FIXED_DAY}`;

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

asRoot('what a member becomes (needs root: owners and devices)', () => {
  it('is a file, directory, link, device or fifo with every attribute that the archive gives', () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const { path } = test.apply([
      directory('etc', { mode: 0o2750, uid: 3, gid: 4, xattrs: { 'user.note': 'directory' } }),
      file('etc/passwd', 'root:x:0:0', { mode: 0o4711, uid: 5, gid: 6, modifiedNs: -1n }),
      symlink('etc/link', '../../outside', { uid: 7, gid: 8, modifiedNs: 1n, xattrs: { 'trusted.note': 'link' } }),
      hardLink('twin', 'etc/passwd'),
      { name: 'null', type: 'character', device: [1, 3], mode: 0o666, gid: 9 },
      { name: 'disk', type: 'block', device: [0xfff, 0xfffff], mode: 0o660 },
      { name: 'pipe', type: 'fifo', mode: 0o1622 },
      file('ping', 'x', {
        uid: 1,
        xattrs: { 'security.capability': capability, 'user.binary': Buffer.from([0, 255]) },
      }),
    ]);
    expect(listTree(path, { withoutRoot: true })).toEqual({
      etc: `directory 2750 3:4 ${day} user.note=${Buffer.from('directory').toString('hex')}`,
      'etc/passwd': 'file 4711 5:6 at -1 "root:x:0:0"',
      'etc/link': `symlink 0777 7:8 at 1 -> ../../outside trusted.note=${Buffer.from('link').toString('hex')}`,
      twin: 'file 4711 5:6 at -1 "root:x:0:0" same file as etc/passwd',
      null: `character 0666 0:9 ${day} 1:3`,
      disk: `block 0660 0:0 ${day} 4095:1048575`,
      pipe: `fifo 1622 0:0 ${day}`,
      ping: `file 0644 1:0 ${day} "x" security.capability=${capability.toString('hex')} user.binary=00ff`,
    });
  });

  it('keeps its time of last access when the archive has one', () => {
    const { path } = test.apply([file('a', 'x', { accessedNs: 5n }), file('b', 'x')]);
    const syscalls = nativeSyscalls();
    expect(syscalls.statx(AT_FDCWD, join(path, 'a'), 0).accessedNs).toBe(5n);
    expect(syscalls.statx(AT_FDCWD, join(path, 'b'), 0).accessedNs).toBe(FIXED_DAY);
  });

  it('may be named by any bytes but NUL and slash', () => {
    const name = Buffer.from([0xff, 0x0a, 0x20, 0xe2, 0x28]);
    const { path } = test.apply([directory(name), file(Buffer.concat([name, Buffer.from('/'), name]), 'x')]);
    expect(readdirSync(path, { encoding: 'buffer' })).toEqual([name]);
    expect(Object.keys(listTree(path))).toEqual([
      '.',
      name.toString('latin1'),
      `${name.toString('latin1')}/${name.toString('latin1')}`,
    ]);
  });

  it('may be 255 bytes long in one component and lie hundreds of directories deep', () => {
    const deep = Array.from({ length: 500 }, () => 'abcdefg').join('/');
    const { path } = test.apply([file(deep, 'deep'), file('x'.repeat(255), 'long')]);
    expect(Object.keys(listTree(path))).toContain(deep);
    expect(Object.keys(listTree(path))).toContain('x'.repeat(255));
  });

  it('is the same under a umask that takes all rights of group and others away', () => {
    const members = [
      directory('open', { mode: 0o777 }),
      file('open/file', 'x', { mode: 0o666 }),
      { name: 'pipe', type: 'fifo', mode: 0o622 } as const,
      file('implied/file', 'x'),
    ];
    const usual = listTree(test.apply(members).path, { withoutRoot: true });
    const before = process.umask(0o077);
    try {
      expect(listTree(test.apply(members).path, { withoutRoot: true })).toEqual(usual);
    } finally {
      process.umask(before);
    }
    expect(usual['open']).toContain('directory 0777');
    expect(usual['implied']).toContain('directory 0755');
  });

  it('takes nothing from a set-group-ID directory or a default ACL that the store lies in', () => {
    const members = [directory('d', { mode: 0o700 }), file('d/f', 'x', { mode: 0o600 }), file('implied/f', 'x')];
    const usual = listTree(test.apply(members).path, { withoutRoot: true });
    const store = test.tree();
    nativeSyscalls().setXattr(store, 'system.posix_acl_default', defaultAclFor(1234));
    chmodSync(store, 0o2755);
    nativeSyscalls().fchownat(AT_FDCWD, store, 0, 77, 0);
    const path = join(store, 'layer');
    mkdirSync(path);
    expect(nativeSyscalls().getXattr(path, 'system.posix_acl_default')).toBeDefined();
    applyLayer([layerArchive(...members)], { tree: { path, dialect: 'overlay' } });
    expect(listTree(path, { withoutRoot: true })).toEqual(usual);
  });

  it('takes nothing from a set-group-ID directory of the archive, nor from its default ACL', () => {
    const acl = defaultAclFor(1234);
    const { path } = test.apply([
      directory('d', { mode: 0o2777, gid: 50, xattrs: { 'system.posix_acl_default': acl } }),
      directory('d/sub', { mode: 0o700 }),
      file('d/sub/f', 'x', { mode: 0o600 }),
    ]);
    expect(listTree(path, { withoutRoot: true })).toEqual({
      d: `directory 2777 0:50 ${day} system.posix_acl_default=${acl.toString('hex')}`,
      'd/sub': `directory 0700 0:0 ${day}`,
      'd/sub/f': `file 0600 0:0 ${day} "x"`,
    });
  });

  it('keeps the group bits that its ACL and its mode agree on', () => {
    const acl = accessAclFor(1234, 6);
    const { path } = test.apply([file('f', 'x', { mode: 0o664, xattrs: { 'system.posix_acl_access': acl } })]);
    expect(listTree(path)['f']).toBe(`file 0664 0:0 ${day} "x" system.posix_acl_access=${acl.toString('hex')}`);
  });

  it('loses extended attributes of other systems, which are counted, and keeps the rest', () => {
    const { path, applied } = test.apply([
      file('a', 'x', { xattrs: { 'com.apple.provenance': 'x', 'user.kept': 'y', nonsense: 'z' } }),
      symlink('l', 'a', { xattrs: { 'user.not-on-symlinks': 'x' } }),
    ]);
    expect(applied.unsupportedXattrs).toBe(3);
    expect(listTree(path)['a']).toContain('user.kept=79');
  });

  it('is refused when an extended attribute has a value that the kernel does not take', () => {
    const error = refusal(() => test.apply([file('bin/ping', 'x', { xattrs: { 'security.capability': 'nonsense' } })]));
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE', subject: 'bin/ping' });
    expect(error.message).toContain('security.capability');
  });
});

asRoot('directories (needs root)', () => {
  it('have their times from the archive although entries were made in them later', () => {
    const { path } = test.apply([
      directory('a', { modifiedNs: 1n }),
      directory('a/b', { modifiedNs: 2n }),
      file('a/b/c', 'x'),
    ]);
    expect(listTree(path)).toMatchObject({
      a: 'directory 0755 0:0 at 1',
      'a/b': 'directory 0755 0:0 at 2',
    });
  });

  it('that are not listed are made 0755 of root, with the time of the first member in them', () => {
    const { path, applied } = test.apply([
      file('a/b/first', 'x', { modifiedNs: 10n, uid: 5 }),
      file('a/b/second', 'x', { modifiedNs: 20n }),
    ]);
    expect(listTree(path)).toMatchObject({
      '.': 'directory 0755 0:0 at 10',
      a: 'directory 0755 0:0 at 10',
      'a/b': 'directory 0755 0:0 at 10',
    });
    expect(applied.deferred.directories).toEqual([
      { path: '', holdsContent: true },
      { path: 'a', holdsContent: true },
      { path: 'a/b', holdsContent: true },
    ]);
  });

  it('that are listed after their members have the attributes of the list', () => {
    const { path, applied } = test.apply([
      file('a/b', 'x'),
      directory('a', { mode: 0o1777, uid: 5, gid: 6, modifiedNs: 3n }),
    ]);
    expect(listTree(path)['a']).toBe('directory 1777 5:6 at 3');
    expect(applied.deferred.directories).toEqual([{ path: '', holdsContent: true }]);
  });

  it('are more than are ever open at once', () => {
    const names = Array.from({ length: 300 }, (_, index) => `d${index}`);
    const before = openDescriptors();
    const { path } = test.apply([
      ...names.map((name) => file(`${name}/sub/f`, name)),
      ...names.map((name) => file(`${name}/sub/g`, name)),
      ...names.map((name) => hardLink(`h/${name}`, `${name}/sub/f`)),
    ]);
    expect(openDescriptors()).toBe(before);
    expect(readdirSync(join(path, 'h'))).toHaveLength(300);
    expect(readFileSync(join(path, 'h/d17'), 'latin1')).toBe('d17');
  });

  it('give the root its attributes when the archive lists it', () => {
    const { path, applied } = test.apply([
      directory('./', { mode: 0o1700, uid: 1, gid: 2, modifiedNs: 5n }),
      file('a', 'x'),
    ]);
    expect(listTree(path)['.']).toBe('directory 1700 1:2 at 5');
    expect(applied.deferred.directories).toEqual([]);
  });
});

/** ACLs in the kernel's form (posix_acl_xattr.h): version 2, then tag, rights and id of every entry. */
function acl(entries: readonly (readonly [tag: number, rights: number, id: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, rights, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(rights, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}

const NO_ID = 0xffffffff;
const defaultAclFor = (user: number): Buffer =>
  acl([
    [1, 7, NO_ID],
    [2, 7, user],
    [4, 7, NO_ID],
    [0x10, 7, NO_ID],
    [0x20, 5, NO_ID],
  ]);
const accessAclFor = (user: number, mask: number): Buffer =>
  acl([
    [1, 6, NO_ID],
    [2, 6, user],
    [4, 4, NO_ID],
    [0x10, mask, NO_ID],
    [0x20, 4, NO_ID],
  ]);
