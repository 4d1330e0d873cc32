/** Archives made to do harm. Each case states what must not happen. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { StoreError, type ErrorCode } from '@layerstore/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decompress } from '../compression/decompress.js';
import type { Dialect } from '../layer-tree.js';
import { craftedMember, craftedPax } from '../tar/crafted.js';
import { applyLayer } from './apply-layer.js';
import { directory, file, hardLink, layerArchive, symlink, type CraftedMember } from './testing/crafted-layer.js';
import { settleDeferred } from './settle-deferred.js';
import { openDescriptors, refusal, TestDirectory } from './testing/test-tree.js';
import { listTree } from './testing/tree-listing.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);
const dialects = ['overlay', 'aufs', 'complete'] as const;

let test: TestDirectory;
/** Stands beside every tree, and must never change. */
let outside: string;

beforeEach(() => {
  test = new TestDirectory();
  outside = join(test.path, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'untouched');
});

afterEach(() => {
  const listing = listTree(outside, { withoutTimesOf: ['file', 'directory'] });
  test[Symbol.dispose]();
  expect(listing, 'A FILE OUTSIDE THE LAYER WAS CHANGED').toEqual({
    '.': 'directory 0755 0:0',
    secret: 'file 0644 0:0 "untouched"',
  });
});

/** The archive is refused in every dialect with that code, naming the member. */
function expectRefused(members: readonly (CraftedMember | Buffer)[], code: ErrorCode, subject?: string): void {
  for (const dialect of dialects) {
    const error = refusal(() => test.apply(members, dialect));
    expect(error.code, error.message).toBe(code);
    if (subject !== undefined) expect(error.subject).toBe(subject);
  }
}

asRoot('names that lead out of the layer (needs root)', () => {
  it.each(['../x', '../../outside/secret', 'a/../../x', '/../x', 'a/b/../../../x', '..', './..', '../'])(
    'a member named %s is refused and nothing is written outside the layer',
    (name) => {
      expectRefused([file(name, 'harm')], 'ERR_ARCHIVE_ESCAPE', name);
      expectRefused([directory(name)], 'ERR_ARCHIVE_ESCAPE', name);
      expectRefused([symlink(name, '/etc')], 'ERR_ARCHIVE_ESCAPE', name);
      expect(existsSync(join(test.path, 'x')), 'A FILE WAS WRITTEN OUTSIDE THE LAYER').toBe(false);
    },
  );

  it('an absolute name is a name below the root of the layer', () => {
    for (const dialect of dialects) {
      const { path } = test.apply([file(join(outside, 'secret'), 'harm')], dialect);
      expect(readFileSync(join(path, outside, 'secret'), 'latin1')).toBe('harm');
    }
  });

  it('a name with NUL is refused, it would be cut by the kernel', () => {
    const named = Buffer.concat([craftedPax({ path: 'ok\0/../../x' }), craftedMember({ name: 'y' }, 'harm')]);
    expect(refusal(() => test.apply([named])).code).toBe('ERR_MALFORMED_ARCHIVE');
    const linked = Buffer.concat([
      craftedPax({ linkpath: '/etc\0x' }),
      craftedMember({ name: 'y', type: '2', linkName: 'z' }),
    ]);
    expect(refusal(() => test.apply([linked])).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('the root cannot become a file, a symlink or a hard link', () => {
    expectRefused([file('.', 'x')], 'ERR_MALFORMED_ARCHIVE', '.');
    expectRefused([symlink('/', '/etc')], 'ERR_MALFORMED_ARCHIVE', '/');
    expectRefused([file('a', 'x'), hardLink('./', 'a')], 'ERR_MALFORMED_ARCHIVE', './');
  });
});

asRoot('symlinks as a way out (needs root)', () => {
  it.each(['../outside', '../../../../../../../../../../../../../..', '/'])(
    'a member below a symlink to %s lands inside the layer',
    (target) => {
      for (const dialect of dialects) {
        const { path } = test.apply(
          [symlink('way', target), file('way/outside/secret', 'harm'), file('way/secret', 'harm')],
          dialect,
        );
        expect(Object.values(listTree(path)).join(' ')).toContain('harm');
      }
    },
  );

  it('a symlink to an absolute path outside is followed inside the root only', () => {
    const { path } = test.apply([symlink('way', outside), file('way/secret', 'harm'), directory('way/new')]);
    expect(readFileSync(join(path, outside, 'secret'), 'latin1')).toBe('harm');
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  it('a file over a symlink replaces the link and does not write through it', () => {
    for (const dialect of dialects) {
      const { path } = test.apply([symlink('link', join(outside, 'secret')), file('link', 'harm')], dialect);
      expect(readFileSync(join(path, 'link'), 'latin1')).toBe('harm');
    }
  });

  it('a directory over a symlink to a directory does not change the mode of what it points to', () => {
    for (const dialect of dialects)
      test.apply([symlink('link', outside), directory('link', { mode: 0o777 }), file('link/x', '')], dialect);
    expect(statSync(outside).mode & 0o777).toBe(0o755);
  });

  it('a whiteout below a symlink out of the layer deletes nothing there', () => {
    for (const dialect of dialects)
      test.apply([symlink('way', outside), file('way/.wh.secret'), file('way/.wh..wh..opq')], dialect);
    expect(existsSync(join(outside, 'secret')), 'A FILE OUTSIDE THE LAYER WAS DELETED').toBe(true);
  });

  it('a symlink that the parent layer left in a complete tree is not followed', () => {
    const path = test.tree();
    symlinkSync(outside, join(path, 'way'));
    applyLayer([layerArchive(file('way/secret', 'harm'), file('way/.wh.secret'))], {
      tree: { path, dialect: 'complete' },
    });
    expect(readFileSync(join(path, 'way/secret'), 'latin1')).toBe('harm');
  });

  it('a whiteout below a symlink of the parent layer in a complete tree deletes nothing', () => {
    const path = test.tree();
    symlinkSync(outside, join(path, 'way'));
    applyLayer([layerArchive(file('way/.wh.secret'), file('way/.wh..wh..opq'))], {
      tree: { path, dialect: 'complete' },
    });
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  it('a symlink of a lower layer out of the store is not followed when the layer above is settled', () => {
    const lower = {
      path: test.apply([symlink('way', outside), symlink('etc', outside)]).path,
      dialect: 'overlay',
    } as const;
    const upper = test.apply([file('way/secret', 'harm'), hardLink('stolen', 'etc/secret')]);
    const tree = { path: upper.path, dialect: 'overlay' } as const;
    expect(refusal(() => settleDeferred(upper.applied.deferred, tree, [lower])).code).toBe('ERR_MALFORMED_ARCHIVE');
    expect(readFileSync(join(upper.path, 'way/secret'), 'latin1')).toBe('harm');
  });

  it('a circle of symlinks ends with an error', () => {
    expectRefused([symlink('a', 'b/x'), symlink('b', 'a/x'), file('a/file', '')], 'ERR_MALFORMED_ARCHIVE');
  });

  it('a path that symlinks make longer than the kernel takes is refused', () => {
    const deep = Array.from({ length: 15 }, () => 'd'.repeat(250)).join('/');
    expectRefused(
      [directory(deep), symlink('s', deep), file(`s/${'x'.repeat(250)}/${'y'.repeat(250)}/z`, '')],
      'ERR_LIMIT_EXCEEDED',
    );
  });
});

asRoot('hard links as a way out (needs root)', () => {
  it.each(['../outside/secret', '../../etc/passwd', '/../outside/secret', 'a/../../x'])(
    'a hard link to %s is refused',
    (target) => {
      expectRefused([hardLink('stolen', target)], 'ERR_ARCHIVE_ESCAPE', 'stolen');
    },
  );

  it('a hard link to an absolute path outside means a path in the layer, and there is none', () => {
    for (const dialect of dialects) {
      const { path, applied } = test.apply([hardLink('stolen', join(outside, 'secret'))], dialect);
      const error = refusal(() => settleDeferred(applied.deferred, { path, dialect }, []));
      expect(error).toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE', subject: 'stolen' });
      expect(error.message).toContain(join(outside, 'secret').slice(1));
    }
    expect(statSync(join(outside, 'secret')).nlink, 'A FILE OUTSIDE THE LAYER WAS LINKED').toBe(1);
  });

  it('a hard link through a symlink out of the layer stays in the layer', () => {
    for (const dialect of dialects) {
      const { path, applied } = test.apply([symlink('way', outside), hardLink('stolen', 'way/secret')], dialect);
      expect(refusal(() => settleDeferred(applied.deferred, { path, dialect }, [])).code).toBe('ERR_MALFORMED_ARCHIVE');
    }
    expect(statSync(join(outside, 'secret')).nlink, 'A FILE OUTSIDE THE LAYER WAS LINKED').toBe(1);
  });

  it('a file over a hard link to a symlink out of the layer does not write through it', () => {
    const { path } = test.apply([symlink('a', join(outside, 'secret')), hardLink('b', 'a'), file('b', 'harm')]);
    expect(readFileSync(join(path, 'b'), 'latin1')).toBe('harm');
  });

  it('a hard link to a directory is refused', () => {
    expectRefused([directory('d'), hardLink('l', 'd')], 'ERR_MALFORMED_ARCHIVE', 'l');
    expectRefused([directory('d'), hardLink('l', '.')], 'ERR_MALFORMED_ARCHIVE', 'l');
    expectRefused([directory('d'), symlink('s', 'd'), hardLink('l', 's/../d')], 'ERR_MALFORMED_ARCHIVE', 'l');
  });

  it('a hard link to a directory of a lower layer is refused', () => {
    const lower = { path: test.apply([directory('d')]).path, dialect: 'overlay' } as const;
    const { path, applied } = test.apply([hardLink('l', 'd')]);
    const error = refusal(() => settleDeferred(applied.deferred, { path, dialect: 'overlay' }, [lower]));
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE', subject: 'l' });
  });

  it('a hard link to a file of a lower layer cannot write into that layer', () => {
    const lower = test.apply([file('bin/su', 'good')]).path;
    const { path, applied } = test.apply([hardLink('l', 'bin/su'), directory('after')]);
    settleDeferred(applied.deferred, { path, dialect: 'overlay' }, [{ path: lower, dialect: 'overlay' }]);
    expect(statSync(join(lower, 'bin/su')).nlink, 'THE LOWER LAYER WAS LINKED').toBe(1);
    writeFileSync(join(path, 'l'), 'harm');
    expect(readFileSync(join(lower, 'bin/su'), 'latin1')).toBe('good');
  });

  it('a hard link through earlier members, replaced one by one, ends in the layer', () => {
    const members = [
      directory('d'),
      file('d/x', 'inner'),
      symlink('s', 'd'),
      hardLink('l', 's/x'),
      symlink('d', outside),
      hardLink('m', 'd/secret'),
    ];
    for (const dialect of dialects) {
      const { path, applied } = test.apply(members, dialect);
      expect(readFileSync(join(path, 'l'), 'latin1')).toBe('inner');
      expect(refusal(() => settleDeferred(applied.deferred, { path, dialect }, []))).toMatchObject({ subject: 'm' });
    }
    expect(statSync(join(outside, 'secret')).nlink, 'A FILE OUTSIDE THE LAYER WAS LINKED').toBe(1);
  });

  it('a hard link that replaces the directory of its target is refused', () => {
    expectRefused([file('d/x', '1'), hardLink('d', 'd/x')], 'ERR_MALFORMED_ARCHIVE', 'd');
  });

  it('a hard link to a pseudo-link that is itself one to a missing file is left for later, not made to what holds its place', () => {
    const { path, applied } = test.apply([hardLink('.wh..wh.plnk/1.2', 'missing'), hardLink('a', '.wh..wh.plnk/1.2')]);
    expect(applied.deferred.links).toEqual([{ path: 'a', target: 'missing', lower: true }]);
    expect(refusal(() => settleDeferred(applied.deferred, { path, dialect: 'overlay' }, [])).code).toBe(
      'ERR_MALFORMED_ARCHIVE',
    );
  });

  it('a hard link to a whiteout is refused, in the form of the archive and of the overlay', () => {
    expectRefused([file('.wh.a'), hardLink('b', '.wh.a')], 'ERR_MALFORMED_ARCHIVE', 'b');
    const { path, applied } = test.apply([file('.wh.a'), hardLink('b', 'a')]);
    expect(applied.deferred.links).toEqual([{ path: 'b', target: 'a', lower: true }]);
    const error = refusal(() => settleDeferred(applied.deferred, { path, dialect: 'overlay' }, []));
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE', subject: 'b' });
    expect(listTree(path)['b'], 'A WHITEOUT WAS SMUGGLED IN').not.toContain('character');
  });
});

asRoot('whiteouts that are not (needs root)', () => {
  it.each([
    ['.wh...', 'ERR_ARCHIVE_ESCAPE'],
    ['a/.wh...', 'ERR_ARCHIVE_ESCAPE'],
    ['../.wh.x', 'ERR_ARCHIVE_ESCAPE'],
    ['a/../../.wh.x', 'ERR_ARCHIVE_ESCAPE'],
    ['.wh.', 'ERR_MALFORMED_ARCHIVE'],
    ['a/.wh.', 'ERR_MALFORMED_ARCHIVE'],
    ['.wh..', 'ERR_MALFORMED_ARCHIVE'],
    ['.wh.a/b', 'ERR_MALFORMED_ARCHIVE'],
    ['d/.wh.a/b/c', 'ERR_MALFORMED_ARCHIVE'],
  ] as const)('%s is refused with %s', (name, code) => {
    expectRefused([file(name)], code, name);
  });

  it('a character device 0:0 would hide a lower file: it is refused', () => {
    expectRefused([{ name: 'etc/shadow', type: 'character', device: [0, 0] }], 'ERR_MALFORMED_ARCHIVE', 'etc/shadow');
  });

  it.each([
    [4096, 0],
    [0, 1 << 20],
    [1 << 20, 1 << 20],
  ])('a device number %i:%i, which the kernel would cut to 0:0, is refused', (major, minor) => {
    expectRefused([{ name: 'dev/x', type: 'character', device: [major, minor] }], 'ERR_MALFORMED_ARCHIVE', 'dev/x');
  });

  it.each(['trusted.overlay.', 'user.overlay.'])(
    'extended attributes %s* are left out: they redirect, hide and fake content',
    (namespace) => {
      const xattrs = Object.fromEntries(
        ['opaque', 'redirect', 'metacopy', 'whiteout', 'origin', 'impure'].map((name) => [`${namespace}${name}`, 'y']),
      );
      for (const dialect of dialects) {
        const { path } = test.apply(
          [directory('./', { xattrs }), directory('d', { xattrs }), file('d/f', '', { xattrs })],
          dialect,
        );
        expect(Object.values(listTree(path)).join('\n'), 'AN OVERLAY ATTRIBUTE WAS SMUGGLED IN').not.toContain(
          'overlay',
        );
      }
    },
  );

  it('bookkeeping of aufs is skipped, wherever it is', () => {
    for (const dialect of dialects) {
      const members = [
        file('.wh..wh.aufs', 'x'),
        directory('.wh..wh.orph'),
        file('.wh..wh.orph/1', 'x'),
        directory('.wh..wh.plnk'),
        symlink('d/.wh..wh.x', '/'),
      ];
      expect(Object.keys(listTree(test.apply(members, dialect).path, { withoutRoot: true }))).toEqual([]);
    }
  });
});

asRoot('numbers that no file can have (needs root)', () => {
  it('owner 4294967295, which chown takes as "leave it", is refused', () => {
    expectRefused([file('bin/su', 'x', { mode: 0o4755, uid: 0xffffffff })], 'ERR_MALFORMED_ARCHIVE');
    expectRefused([directory('d', { gid: 0xffffffff })], 'ERR_MALFORMED_ARCHIVE');
  });

  it('a time far beyond what a file system holds becomes one that it holds', () => {
    for (const modifiedNs of [-9n * 10n ** 24n, 9n * 10n ** 24n]) {
      expect(Object.keys(listTree(test.apply([file('a', 'x', { modifiedNs })]).path))).toContain('a');
    }
  });
});

asRoot('too much (needs root)', () => {
  it('members beyond the limit are refused', () => {
    const error = refusal(() => test.apply([file('a'), file('b'), file('c')], 'overlay', { limits: { members: 2 } }));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('a sparse file of terabytes in a small archive is refused before it is made', () => {
    const sparse = Buffer.concat([
      craftedPax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'bomb',
        'GNU.sparse.realsize': String(2 ** 45),
      }),
      craftedMember({ name: 'GNUSparseFile.0/bomb' }, Buffer.from('0\n'.padEnd(512, '\0'))),
    ]);
    const error = refusal(() => test.apply([sparse]));
    expect(error).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', subject: 'bomb' });
  });

  it('files that together exceed the limit are refused', () => {
    const members = [file('a', 'x'.repeat(600)), file('b', 'x'.repeat(600))];
    expect(refusal(() => test.apply(members, 'overlay', { limits: { contentBytes: 1000 } }))).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      subject: 'b',
    });
  });

  it('a gzip bomb is stopped at the limit', () => {
    const bomb = gzipSync(layerArchive(file('zeros', Buffer.alloc(10_000_000))));
    const path = test.tree();
    const source = decompress([bomb], 'gzip', { limits: { maxBytes: 3_000_000 } });
    const error = refusal(() => applyLayer(source, { tree: { path, dialect: 'overlay' } }));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
    expect(statSync(join(path, 'zeros')).size, 'THE BOMB WENT OFF').toBeLessThanOrEqual(3_000_000);
  });

  it('a gigantic header is refused without being held in memory', () => {
    const header = craftedMember({ type: 'x', size: 2 ** 33 - 1 }, Buffer.alloc(0));
    expect(refusal(() => test.apply([header])).code).toBe('ERR_LIMIT_EXCEEDED');
  });
});

asRoot('damaged archives (needs root)', () => {
  const good = layerArchive(
    directory('d', { mode: 0o700 }),
    file('d/a', 'x'.repeat(700), { xattrs: { 'user.x': 'y' } }),
    symlink('d/s', 'a'),
    hardLink('h', 'd/a'),
    file('d/.wh.gone'),
    file('e/.wh..wh..opq'),
    { name: 'dev/null', type: 'character', device: [1, 3] },
  );

  it.each([100, 511, 513, 1500, 2100])('one that ends after %i bytes is refused as cut short', (length) => {
    const error = refusal(() =>
      applyLayer([good.subarray(0, length)], { tree: { path: test.tree(), dialect: 'overlay' } }),
    );
    expect(['ERR_TRUNCATED', 'ERR_MALFORMED_ARCHIVE']).toContain(error.code);
  });

  it.each(dialects)(
    'one with flipped bits is refused or unpacked, in %s form, inside the layer, and leaves no descriptor open',
    (dialect: Dialect) => {
      const before = openDescriptors();
      fc.assert(
        fc.property(
          fc.array(fc.nat(good.length * 8 - 1), { minLength: 1, maxLength: 6 }),
          fc.boolean(),
          (bits, checksums) => {
            const bytes = Buffer.from(good);
            for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
            if (checksums) mendChecksums(bytes);
            try {
              applyLayer([bytes], { tree: { path: test.tree(), dialect } });
            } catch (error) {
              if (!StoreError.is(error)) throw error;
              expect(error.code).toMatch(
                /^ERR_(MALFORMED_ARCHIVE|TRUNCATED|LIMIT_EXCEEDED|UNSUPPORTED_FORMAT|ARCHIVE_ESCAPE)$/,
              );
            }
          },
        ),
        { numRuns: 150 },
      );
      expect(openDescriptors(), 'A DESCRIPTOR LEAKED').toBe(before);
    },
  );
});

/** Lets damage behind the checksums through: every block that had one gets the right one. */
function mendChecksums(bytes: Buffer): void {
  for (let offset = 0; offset + 512 <= bytes.length; offset += 512) {
    const block = bytes.subarray(offset, offset + 512);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
}
