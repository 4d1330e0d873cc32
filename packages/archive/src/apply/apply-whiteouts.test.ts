import fc from 'fast-check';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EntryType } from '../tar/entry.js';
import { craftedMember, craftedPax } from '../tar/crafted.js';
import { directory, file, FIXED_DAY, hardLink, symlink, type CraftedMember } from './testing/crafted-layer.js';
import { settleDeferred } from './settle-deferred.js';
import { completeView, mountedView, stackView, withoutLinks } from './testing/stack-views.js';
import { TestDirectory } from './testing/test-tree.js';
import { listTree } from './testing/tree-listing.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

const lower = [
  directory('d', { mode: 0o711, uid: 3, modifiedNs: 5n }),
  file('d/old', 'lower'),
  directory('d/sub', { mode: 0o750, modifiedNs: 6n }),
  file('d/sub/deep', 'lower'),
  file('f', 'lower'),
  symlink('l', 'd'),
];

/** Names and contents that every way of looking at the stack shows. */
function shown(upper: readonly CraftedMember[]): string[] {
  const mounted = mountedView(test, lower, upper);
  expect(completeView(test, lower, upper), 'a complete tree shows something else than the kernel overlay').toEqual(
    mounted,
  );
  expect(stackView(test, 'overlay', lower, upper), 'LayerStack reads the overlay form differently').toEqual(
    withoutLinks(mounted),
  );
  expect(stackView(test, 'aufs', lower, upper), 'the aufs form shows something else').toEqual(withoutLinks(mounted));
  return Object.keys(mounted).filter((path) => path !== '.');
}

const everyOrder = (members: readonly CraftedMember[]): CraftedMember[][] =>
  members.length < 2
    ? [[...members]]
    : members.flatMap((first, index) => everyOrder(members.toSpliced(index, 1)).map((rest) => [first, ...rest]));

asRoot('whiteouts hide lower content, in every dialect and for every order of members (needs root: mounts)', () => {
  it.each<[string, CraftedMember[], string[]]>([
    ['a file', [file('.wh.f')], ['d', 'd/old', 'd/sub', 'd/sub/deep', 'l']],
    ['a directory with all it holds', [file('.wh.d')], ['f', 'l']],
    ['something inside a directory that is not listed', [file('d/.wh.old')], ['d', 'd/sub', 'd/sub/deep', 'f', 'l']],
    [
      'something that no layer has',
      [file('.wh.none'), file('none/.wh.none'), file('f/.wh.x')],
      ['d', 'd/old', 'd/sub', 'd/sub/deep', 'f', 'l'],
    ],
    ['a symlink', [file('.wh.l'), file('l2', '')], ['d', 'd/old', 'd/sub', 'd/sub/deep', 'f', 'l2']],
    [
      'but not a file of the same name in their own layer',
      [file('.wh.f'), file('f', 'upper')],
      ['d', 'd/old', 'd/sub', 'd/sub/deep', 'f', 'l'],
    ],
    [
      'but not a directory of the same name in their own layer',
      [file('.wh.d'), directory('d'), file('d/new', '')],
      ['d', 'd/new', 'f', 'l'],
    ],
    [
      'but not what their own layer has in the directory',
      [file('.wh.d'), file('d/sub/new', '')],
      ['d', 'd/sub', 'd/sub/new', 'f', 'l'],
    ],
    [
      'through an opaque directory',
      [directory('d'), file('d/.wh..wh..opq'), file('d/new', '')],
      ['d', 'd/new', 'f', 'l'],
    ],
    [
      'through an opaque directory that is not listed',
      [file('d/.wh..wh..opq'), file('d/sub/new', '')],
      ['d', 'd/sub', 'd/sub/new', 'f', 'l'],
    ],
    ['through an opaque root', [file('.wh..wh..opq'), file('d/new', ''), file('g', '')], ['d', 'd/new', 'g']],
    ['also where only whiteouts are', [file('d/sub/.wh.deep'), file('.wh.d')], ['f', 'l']],
    ['of a directory, and a file takes its place', [file('.wh.d'), file('d', '')], ['d', 'f', 'l']],
  ])('%s', (_, members, expected) => {
    for (const order of everyOrder(members)) expect(shown(order)).toEqual(expected);
  });

  it('also through a symlink that their own layer made', () => {
    expect(shown([symlink('way', 'd'), file('way/.wh.old')])).toEqual(['d', 'd/sub', 'd/sub/deep', 'f', 'l', 'way']);
  });

  it('but not through a symlink of a lower layer', () => {
    expect(shown([file('l/.wh.old')])).toContain('d/old');
  });

  it('whatever type of member they are', () => {
    for (const type of ['file', 'directory', 'symlink', 'hardlink', 'fifo'] satisfies EntryType[]) {
      expect(shown([{ name: '.wh.f', type, link: 'd/old' }])).not.toContain('f');
      expect(shown([{ name: 'd/.wh..wh..opq', type, link: 'f' }])).not.toContain('d/old');
    }
  });

  it('and a directory that comes after a file of its name does not show the lower one again', () => {
    expect(shown([file('d', 'x'), directory('d'), file('d/new', '')])).toEqual(['d', 'd/new', 'f', 'l']);
    expect(shown([file('.wh.d'), file('d', 'x'), file('d/new', '')])).toEqual(['d', 'd/new', 'f', 'l']);
  });
});

asRoot('directories that are not listed (needs root: mounts)', () => {
  it('have the attributes of their lower twin', () => {
    const view = mountedView(test, lower, [file('d/sub/new', '')]);
    expect(view).toMatchObject({ d: 'directory 0711 3:0 at 5', 'd/sub': 'directory 0750 0:0 at 6' });
  });

  it('have none of the attributes of a lower twin that their layer deletes', () => {
    for (const members of [
      [file('.wh.d'), file('d/new', '')],
      [file('d/new', ''), file('.wh.d')],
    ]) {
      expect(mountedView(test, lower, members)).toMatchObject({ d: `directory 0755 0:0 at ${FIXED_DAY}` });
      expect(completeView(test, lower, members)).toMatchObject({ d: `directory 0755 0:0 at ${FIXED_DAY}` });
    }
  });

  it('have the extended attributes of their lower twin, but not the overlay marks', () => {
    const opaque = [directory('d', { xattrs: { 'user.x': '1' } }), file('d/.wh..wh..opq')];
    const upper = [file('d/new', '')];
    expect(mountedView(test, opaque, upper)['d']).toContain('user.x=31');
    expect(mountedView(test, [...lower, ...opaque], upper)).toHaveProperty('d/old');
  });

  it('give the root the attributes of the lower root', () => {
    const below = [directory('./', { mode: 0o700, uid: 4, modifiedNs: 7n }), file('g', '')];
    expect(mountedView(test, below, [file('f', '')])['.']).toBe('directory 0700 4:0 at 7');
    expect(completeView(test, below, [file('f', '')])['.']).toBe('directory 0700 4:0 at 7');
  });
});

asRoot('hard links into lower layers (needs root: mounts)', () => {
  const below = [
    file('bin/a', 'content', { mode: 0o4755, uid: 2, xattrs: { 'user.x': 'y' } }),
    symlink('s', 'bin/a'),
    { name: 'p', type: 'fifo' } as const,
  ];

  it('share the file with its lower name', () => {
    const view = mountedView(test, below, [
      hardLink('b', 'bin/a'),
      hardLink('c/d', 'bin/a'),
      hardLink('t', 's'),
      hardLink('q', 'p'),
    ]);
    const line = `file 4755 2:0 at ${FIXED_DAY} "content" user.x=79`;
    expect(view).toMatchObject({ b: line, 'bin/a': `${line} same file as b`, 'c/d': `${line} same file as b` });
    expect(view['t']).toContain('same file as s');
    expect(view['q']).toContain('same file as p');
    expect(
      completeView(test, below, [
        hardLink('b', 'bin/a'),
        hardLink('c/d', 'bin/a'),
        hardLink('t', 's'),
        hardLink('q', 'p'),
      ]),
    ).toEqual(view);
  });

  it.each<[string, CraftedMember[]]>([
    ['replaces', [hardLink('b', 'bin/a'), hardLink('c', 'bin/a'), file('bin/a', 'new')]],
    ['deletes', [hardLink('b', 'bin/a'), hardLink('c', 'bin/a'), file('bin/.wh.a')]],
    ['cuts off', [hardLink('b', 'bin/a'), hardLink('c', 'bin/a'), directory('bin'), file('bin/.wh..wh..opq')]],
    ['deletes with its directory', [file('.wh.bin'), hardLink('b', 'bin/a'), hardLink('c', 'bin/a')]],
  ])('keep the old file when their layer %s it', (_, members) => {
    const view = mountedView(test, below, members);
    expect(view['b']).toContain('"content"');
    expect(view['c']).toContain('same file as b');
    expect(completeView(test, below, members)).toEqual(view);
  });

  it('may come before their target in the archive', () => {
    const view = mountedView(test, lower, [hardLink('b', 'bin/a'), file('bin/a', 'later')]);
    expect(view['bin/a']).toBe(`file 0644 0:0 at ${FIXED_DAY} "later" same file as b`);
    expect(completeView(test, lower, [hardLink('b', 'bin/a'), file('bin/a', 'later')])).toEqual(view);
  });

  it('keep the holes of a sparse file', () => {
    const size = 1 << 24;
    const map = `2\n0\n512\n${size - 512}\n512\n`.padEnd(512, '\0');
    const sparse = Buffer.concat([
      craftedPax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'big',
        'GNU.sparse.realsize': String(size),
      }),
      craftedMember({ name: 'GNUSparseFile.0/big' }, map + 'x'.repeat(1024)),
    ]);
    const below = { path: test.apply([sparse]).path, dialect: 'overlay' } as const;
    const { path, applied } = test.apply([hardLink('b', 'big')]);
    settleDeferred(applied.deferred, { path, dialect: 'overlay' }, [below]);
    for (const copy of [join(below.path, 'big'), join(path, 'big'), join(path, 'b')]) {
      const content = readFileSync(copy);
      expect(content.length).toBe(size);
      expect(
        content.equals(Buffer.concat([Buffer.alloc(512, 'x'), Buffer.alloc(size - 1024), Buffer.alloc(512, 'x')])),
      ).toBe(true);
      expect(statSync(copy).blocks * 512).toBeLessThan(size / 4);
    }
  });
});

asRoot('pseudo-links of an aufs branch (needs root)', () => {
  it('give their content to the names that link to them', () => {
    for (const dialect of ['overlay', 'aufs', 'complete'] as const) {
      const { path } = test.apply(
        [
          directory('.wh..wh.plnk', { mode: 0o700 }),
          file('.wh..wh.plnk/1.2', 'shared', { mode: 0o640 }),
          hardLink('a', '.wh..wh.plnk/1.2'),
          hardLink('d/b', '.wh..wh.plnk/1.2'),
        ],
        dialect,
      );
      expect(listTree(path, { withoutRoot: true })).toEqual({
        a: `file 0640 0:0 at ${FIXED_DAY} "shared"`,
        d: `directory 0755 0:0 at ${FIXED_DAY}`,
        'd/b': `file 0640 0:0 at ${FIXED_DAY} "shared" same file as a`,
      });
    }
  });

  it('that are missing are an error', () => {
    expect(() => test.apply([hardLink('a', '.wh..wh.plnk/1.2')])).toThrow(/pseudo-link/);
  });
});

asRoot('a base layer (needs root)', () => {
  it('shows no whiteouts in the end, there is nothing to hide', () => {
    const { path, applied } = test.apply([file('.wh.a'), file('d/.wh.b'), file('d/c', ''), file('e/.wh.x')]);
    settleDeferred(applied.deferred, { path, dialect: 'overlay' }, []);
    expect(listTree(path)).toEqual({
      '.': `directory 0755 0:0 at ${FIXED_DAY}`,
      d: `directory 0755 0:0 at ${FIXED_DAY}`,
      'd/c': `file 0644 0:0 at ${FIXED_DAY} ""`,
    });
  });
});

asRoot('any two layers (needs root: mounts)', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const marked = fc.tuple(
    fc.array(name, { maxLength: 2 }),
    fc.oneof(
      name.map((hidden) => `.wh.${hidden}`),
      fc.constant('.wh..wh..opq'),
    ),
  );
  const time = fc.integer({ min: 1, max: 9 }).map(BigInt);
  const member: fc.Arbitrary<CraftedMember> = fc.oneof(
    fc.record({ name: path, content: name, mode: fc.constantFrom(0o644, 0o4711), uid: fc.nat(2), modifiedNs: time }),
    fc.record({
      name: path,
      type: fc.constant('directory' as const),
      mode: fc.constantFrom(0o755, 0o2770),
      uid: fc.nat(2),
      modifiedNs: time,
    }),
    fc.record({
      name: path,
      type: fc.constant('symlink' as const),
      link: fc.oneof(
        path,
        path.map((target) => `../${target}`),
        path.map((target) => `/${target}`),
      ),
      modifiedNs: time,
    }),
    fc.record({ name: path, type: fc.constant('hardlink' as const), link: path, modifiedNs: time }),
    fc.record({ name: marked.map(([parts, marker]) => [...parts, marker].join('/')), modifiedNs: time }),
  );
  const layer = fc.array(member, { maxLength: 8 });

  const outcome = (view: () => Record<string, string>): Record<string, string> | string => {
    try {
      return withoutLinks(view());
    } catch (error) {
      if (StoreError.is(error)) return error.code;
      throw error;
    }
  };

  it('look the same in a complete tree, under the kernel overlay and through LayerStack, or fail alike', () => {
    fc.assert(
      fc.property(layer, layer, (members, above) => {
        using place = new TestDirectory();
        // Links inside the lower layer are separated by a copy-up, and an empty root cannot be told from a new one.
        const below = [file('z', ''), ...members.filter((each) => each.type !== 'hardlink')];
        const mounted = outcome(() => mountedView(place, below, above));
        expect(outcome(() => completeView(place, below, above))).toEqual(mounted);
        expect(outcome(() => stackView(place, 'overlay', below, above))).toEqual(mounted);
        expect(outcome(() => stackView(place, 'aufs', below, above))).toEqual(mounted);
      }),
      { numRuns: 60 },
    );
  });
});
