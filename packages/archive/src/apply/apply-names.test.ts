import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer } from './apply-layer.js';
import { directory, file, FIXED_DAY, hardLink, layerArchive, symlink } from './testing/crafted-layer.js';
import { refusal, TestDirectory } from './testing/test-tree.js';
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

asRoot('names (needs root)', () => {
  it.each([
    ['./a//b/', 'a/b'],
    ['/a/b', 'a/b'],
    ['a/./b', 'a/b'],
    ['a/x/../b', 'a/b'],
    ['x/../a/b', 'a/b'],
    ['//a///b//', 'a/b'],
  ])('%s means %s', (name, path) => {
    expect(Object.keys(listTree(test.apply([directory(name)]).path))).toContain(path);
  });

  it('that begin like whiteouts only in part are ordinary', () => {
    const { path } = test.apply([
      file('.wh', '1'),
      file('.whx', '2'),
      file('a.wh.b', '3'),
      file('d/x.wh..wh..opq', '4'),
    ]);
    expect(Object.keys(listTree(path, { withoutRoot: true }))).toEqual([
      '.wh',
      '.whx',
      'a.wh.b',
      'd',
      'd/x.wh..wh..opq',
    ]);
  });
});

asRoot('members with the same name (needs root): the last one wins', () => {
  it.each([
    ['file over file', [file('n', '1'), file('n', '22', { mode: 0o600 })], { n: `file 0600 0:0 ${day} "22"` }],
    [
      'file over directory',
      [directory('n'), file('n/deep/er', '1'), file('n', '2')],
      { n: `file 0644 0:0 ${day} "2"` },
    ],
    [
      'directory over file',
      [file('n', '1'), directory('n'), file('n/x', '2')],
      { n: `directory 0755 0:0 ${day}`, 'n/x': `file 0644 0:0 ${day} "2"` },
    ],
    ['symlink over directory', [file('n/x', '1'), symlink('n', 'x')], { n: `symlink 0777 0:0 ${day} -> x` }],
    ['file over symlink', [symlink('n', '/etc/passwd'), file('n', '2')], { n: `file 0644 0:0 ${day} "2"` }],
    ['fifo over file', [file('n', '1'), { name: 'n', type: 'fifo' } as const], { n: `fifo 0644 0:0 ${day}` }],
    [
      'directory over symlink',
      [directory('t'), symlink('n', 't'), directory('n'), file('n/x', '1')],
      { t: `directory 0755 0:0 ${day}`, n: `directory 0755 0:0 ${day}`, 'n/x': `file 0644 0:0 ${day} "1"` },
    ],
    [
      'a member below a file makes it a directory',
      [file('n', '1'), file('n/x', '2')],
      { n: `directory 0755 0:0 ${day}`, 'n/x': `file 0644 0:0 ${day} "2"` },
    ],
    [
      'hard link over file',
      [file('a', '1'), file('n', '2'), hardLink('n', 'a')],
      { a: `file 0644 0:0 ${day} "1"`, n: `file 0644 0:0 ${day} "1" same file as a` },
    ],
  ])('%s', (_, members, expected) => {
    for (const dialect of ['overlay', 'aufs', 'complete'] as const) {
      const listing = listTree(test.apply(members, dialect).path, {
        withoutRoot: true,
        withoutXattrs: /overlay\.opaque$/,
      });
      delete listing['n/.wh..wh..opq'];
      expect(listing).toEqual(expected);
    }
  });

  it('leaves the content of other names of a replaced file alone', () => {
    const { path } = test.apply([file('a', 'old'), hardLink('b', 'a'), file('a', 'new')]);
    expect(readFileSync(join(path, 'a'), 'latin1')).toBe('new');
    expect(readFileSync(join(path, 'b'), 'latin1')).toBe('old');
  });

  it('merges directories, with the attributes of the last', () => {
    const { path } = test.apply([
      directory('d', { mode: 0o700, xattrs: { 'user.first': '1' } }),
      file('d/x', '1'),
      directory('d', { mode: 0o711, uid: 9, xattrs: { 'user.last': '2' } }),
      file('d/y', '2'),
    ]);
    expect(listTree(path, { withoutRoot: true })).toEqual({
      d: `directory 0711 9:0 ${day} user.last=32`,
      'd/x': `file 0644 0:0 ${day} "1"`,
      'd/y': `file 0644 0:0 ${day} "2"`,
    });
  });
});

asRoot('symlinks on the way to a member (needs root)', () => {
  it('are followed inside the root when this archive made them', () => {
    const { path } = test.apply([
      directory('usr/lib'),
      symlink('lib', 'usr/lib'),
      symlink('abs', '/usr/lib'),
      symlink('up', '../../../../usr/lib'),
      file('lib/a', '1'),
      file('abs/b', '2'),
      file('up/c', '3'),
      hardLink('lib/d', 'abs/a'),
    ]);
    expect(readdirSync(join(path, 'usr/lib'))).toEqual(['a', 'b', 'c', 'd']);
    expect(listTree(path)['lib']).toContain('symlink');
  });

  it('have their missing targets made', () => {
    const { path } = test.apply([symlink('lib', 'usr/lib'), file('lib/a', '1')]);
    expect(readFileSync(join(path, 'usr/lib/a'), 'latin1')).toBe('1');
  });

  it('lead on when they point to one another, until they turn in a circle', () => {
    const chain = Array.from({ length: 30 }, (_, index) =>
      symlink(`l${index}`, index === 29 ? 'end' : `l${index + 1}`),
    );
    expect(readdirSync(join(test.apply([...chain, file('l0/x', '1')]).path, 'end'))).toEqual(['x']);
    const error = refusal(() => test.apply([symlink('a', 'b'), symlink('b', 'a'), file('a/x', '1')]));
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE', subject: 'a/x' });
  });

  it('are not followed when the parent made them: a directory takes their place, as it would above a lower layer', () => {
    const path = test.tree();
    applyLayer([layerArchive(directory('usr/lib'), symlink('lib', 'usr/lib'))], {
      tree: { path, dialect: 'complete' },
    });
    applyLayer([layerArchive(file('lib/a', '1'))], { tree: { path, dialect: 'complete' } });
    expect(readdirSync(join(path, 'usr/lib'))).toEqual([]);
    expect(listTree(path)).toMatchObject({ lib: `directory 0755 0:0 ${day}`, 'lib/a': `file 0644 0:0 ${day} "1"` });
  });
});

asRoot('hard links (needs root)', () => {
  it('to a symlink are a further name of the symlink itself', () => {
    const { path } = test.apply([symlink('a', '/etc/passwd'), hardLink('b', 'a')]);
    expect(listTree(path)['b']).toBe(`symlink 0777 0:0 ${day} -> /etc/passwd same file as a`);
  });

  it('to themselves change nothing', () => {
    expect(listTree(test.apply([file('a', 'x'), hardLink('a', './a')]).path)['a']).toBe(`file 0644 0:0 ${day} "x"`);
  });

  it('to what is not in this layer are left for later', () => {
    const { applied } = test.apply([hardLink('./d/b', '/bin/./a'), hardLink('c', 'd/b')]);
    expect(applied.deferred.links).toEqual([
      { path: 'd/b', target: 'bin/a', lower: true },
      { path: 'c', target: 'bin/a', lower: true },
    ]);
  });

  it('are forgotten when a later member takes the name', () => {
    expect(test.apply([hardLink('b', 'a'), file('b', 'x')]).applied.deferred.links).toEqual([]);
    expect(test.apply([hardLink('d/b', 'a'), file('d', 'x')]).applied.deferred.links).toEqual([]);
    expect(test.apply([hardLink('b', 'a'), file('b/c', 'x')]).applied.deferred.links).toEqual([]);
  });
});
