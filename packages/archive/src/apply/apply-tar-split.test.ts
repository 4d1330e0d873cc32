import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dialect } from '../layer-tree.js';
import { craftedMember, craftedPax } from '../tar/crafted.js';
import { joinTarSplit } from '../tar-split/join.js';
import { readTarSplit } from '../tar-split/reader.js';
import { applyLayer } from './apply-layer.js';
import { directory, file, hardLink, layerArchive, symlink, type CraftedMember } from './testing/crafted-layer.js';
import { LayerFiles } from './layer-files.js';
import { TestDirectory } from './testing/test-tree.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);
const dialects = ['overlay', 'aufs', 'complete'] as const;

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

interface Split {
  readonly path: string;
  readonly tarSplitPath: string;
}

function split(directories: TestDirectory, archive: Buffer, dialect: Dialect): Split {
  const path = directories.tree();
  const tarSplitPath = `${path}.tar-split`;
  applyLayer([archive], { tree: { path, dialect }, tarSplitPath });
  return { path, tarSplitPath };
}

function joined({ path, tarSplitPath }: Split): Buffer {
  using files = new LayerFiles({ path, dialect: 'overlay' });
  return Buffer.concat(Array.from(joinTarSplit(tarSplitPath, files.open), (chunk) => Buffer.from(chunk)));
}

/** Names and sizes of the content that is read from the layer. */
function readFromLayer({ tarSplitPath }: Split): string[] {
  return [...readTarSplit(tarSplitPath)].flatMap((record) =>
    record.kind === 'file' && record.size > 0 ? [`${record.name.toString()} ${record.size}`] : [],
  );
}

asRoot('the archive comes back byte for byte from the layer and its tar-split file (needs root)', () => {
  const sparse = Buffer.concat([
    craftedPax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'big',
      'GNU.sparse.realsize': '100000',
    }),
    craftedMember({ name: 'GNUSparseFile.0/big' }, '1\n0\n5\n'.padEnd(512, '\0') + 'hello'),
  ]);

  it.each<[string, (CraftedMember | Buffer)[], string[]]>([
    ['plain files', [directory('d'), file('./d/a', 'content'), file('/b', 'x')], ['./d/a 7', '/b 1']],
    ['a file that comes twice', [file('a', 'first'), file('a', 'second')], ['a 6']],
    [
      'a file that comes three times, by different names',
      [file('a', '1'), file('./a', '22'), file('x/../a', '333')],
      ['x/../a 3'],
    ],
    [
      'a directory with files that a file replaces',
      [file('d/a', '1'), file('d/e/b', '22'), file('d', '333'), file('c', '4444')],
      ['d 3', 'c 4'],
    ],
    ['a file that a directory replaces', [file('d', '1'), directory('d'), file('d/a', '22')], ['d/a 2']],
    ['a file that a member below it replaces', [file('d', '1'), file('d/a', '22')], ['d/a 2']],
    ['a file that a symlink, and then a file replaces', [file('a', '1'), symlink('a', 'b'), file('a', '22')], ['a 2']],
    [
      'a file that a hard link replaces',
      [file('a', '1'), file('b', '22'), hardLink('a', 'b'), file('c', '333')],
      ['b 2', 'c 3'],
    ],
    [
      'a hard link that a file replaces',
      [file('a', '1'), hardLink('b', 'a'), file('b', '22'), file('b', '333')],
      ['a 1', 'b 3'],
    ],
    ['a file whose other name stays', [file('a', '1'), hardLink('b', 'a'), file('a', '22')], ['a 2']],
    ['a sparse file, which the archive holds packed', [sparse, file('a', '1')], ['a 1']],
    [
      'a sparse file that replaces one and is replaced',
      [file('big', 'first'), sparse, file('big', 'last!')],
      ['big 5'],
    ],
    ['whiteouts with content', [file('.wh.a', 'content'), file('d/.wh..wh..opq', 'x'), file('b', '1')], ['b 1']],
    [
      'bookkeeping of aufs',
      [file('.wh..wh.aufs', 'x'), file('.wh..wh.plnk/1.2', 'shared'), hardLink('a', '.wh..wh.plnk/1.2')],
      [],
    ],
    [
      'files below a symlink',
      [symlink('lib', 'usr/lib'), file('lib/a', '1'), file('lib/b', '22')],
      ['usr/lib/a 1', 'usr/lib/b 2'],
    ],
    [
      'files below a symlink that goes away',
      [symlink('lib', 'usr/lib'), file('lib/a', '1'), directory('lib'), file('lib/a', '22')],
      ['usr/lib/a 1', 'lib/a 2'],
    ],
    [
      'a name that is not text',
      [file(Buffer.from([0xff, 0x2e, 0xfe]), 'x')],
      [`${Buffer.from([0xff, 0x2e, 0xfe]).toString()} 1`],
    ],
    ['nothing', [], []],
  ])('%s', (_, members, fromLayer) => {
    const archive = layerArchive(...members);
    for (const dialect of dialects) {
      const layer = split(test, archive, dialect);
      expect(joined(layer).equals(archive), dialect).toBe(true);
      expect(readFromLayer(layer)).toEqual(fromLayer);
    }
  });

  it('without padding, without an end, and with something behind the end', () => {
    const member = craftedMember({ name: 'a' }, 'content');
    for (const archive of [
      member.subarray(0, 512 + 7),
      member,
      Buffer.concat([layerArchive(member), Buffer.alloc(9000, 'garbage')]),
    ]) {
      expect(joined(split(test, archive, 'overlay')).equals(archive)).toBe(true);
    }
  });

  it('and nothing of what was put aside is left in the layer', () => {
    const { path } = split(
      test,
      layerArchive(file('a', '1'), file('a', '2'), file('.wh..wh.plnk/1', 'x'), hardLink('b', '.wh..wh.plnk/1')),
      'overlay',
    );
    expect(readdirSync(path)).toEqual(['a', 'b']);
    expect(statSync(join(path, 'b')).nlink).toBe(1);
    expect(readdirSync(test.path).filter((name) => name.includes('inlined'))).toEqual([]);
  });

  it("also over the content of the parent layer in a complete tree, which is not this layer's to save", () => {
    const path = test.tree();
    applyLayer([layerArchive(file('a', 'parent'), file('d/b', 'parent'))], { tree: { path, dialect: 'complete' } });
    const archive = layerArchive(file('a', 'child'), file('d', 'child'), file('a', 'grown'));
    const tarSplitPath = `${path}.tar-split`;
    applyLayer([archive], { tree: { path, dialect: 'complete' }, tarSplitPath });
    expect(joined({ path, tarSplitPath }).equals(archive)).toBe(true);
    expect(readFileSync(join(path, 'a'), 'latin1')).toBe('grown');
  });

  const name = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const content = fc
    .integer({ min: 0, max: 1500 })
    .chain((length) => fc.constantFrom('x', 'y', '\0').map((text) => text.repeat(length)));
  const member: fc.Arbitrary<CraftedMember> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        name: fc.oneof(
          path,
          path.map((text) => `./${text}`),
        ),
        content,
      }),
    },
    fc.record({ name: path, type: fc.constant('directory' as const) }),
    fc.record({ name: path, type: fc.constant('symlink' as const), link: path.map((target) => `/${target}`) }),
    fc.record({ name: path, type: fc.constant('hardlink' as const), link: path }),
    fc.record({ name: path, type: fc.constant('fifo' as const) }),
    fc.record({ name: path.map((text) => text.replace(/([abc])$/, '.wh.$1')), content }),
  );

  it('for any archive that is accepted, members that replace one another included', () => {
    fc.assert(
      fc.property(
        fc.array(member, { maxLength: 14 }),
        fc.constantFrom(...dialects),
        fc.nat(3000),
        (members, dialect, tail) => {
          using place = new TestDirectory();
          const archive = Buffer.concat([layerArchive(...members), Buffer.alloc(tail, 'tail')]);
          let layer: Split;
          try {
            layer = split(place, archive, dialect);
          } catch {
            fc.pre(false);
            return;
          }
          expect(joined(layer).equals(archive)).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});
