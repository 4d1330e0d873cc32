import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DirectoryMembers } from './directory-members.js';
import { DOCUMENT_LIMIT } from './document.js';
import { findMember, linkTarget, memberName, readMember, type Members } from './members.js';
import { TarMembers } from './tar-members.js';
import { failure } from './testing/failure.js';
import { tarOf, writeTree, type TestMember } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';

const forms = {
  archive: (directory: Temporary, members: readonly TestMember[]): Members =>
    TarMembers.open(directory.write('a.tar', tarOf(members))),
  directory: (directory: Temporary, members: readonly TestMember[]): Members =>
    new DirectoryMembers(writeTree(directory.path, members)),
};

describe.each(Object.entries(forms))('a member of an %s', (_, open) => {
  test('that is not there is undefined', async () => {
    using directory = new Temporary();
    const members = open(directory, [['a/b', 'x']]);
    for (const name of ['b', 'a/c', 'a/b/c', 'c/d']) expect(await findMember(members, name)).toBeUndefined();
  });

  test('is listed by its name', async () => {
    using directory = new Temporary();
    const members = open(directory, [
      ['a/b', 'x'],
      ['c', { type: 'symlink', target: 'a/b' }],
    ]);
    expect([...(await members.names())]).toEqual(expect.arrayContaining(['a/b', 'c']));
  });

  test.each(['', '.', '..', '../a', 'a/../../b', 'a\0b'])('is never looked up as %j', async (name) => {
    using directory = new Temporary();
    const members = open(directory, [['a', 'x']]);
    expect(await failure(() => findMember(members, name))).toMatchObject({ code: 'ERR_MALFORMED_IMAGE' });
  });

  test.each(['/etc/passwd', '../../../../../../etc/passwd', '..', 'a/../../x'])(
    'that links to %s, OUTSIDE, IS NOT READ',
    async (target) => {
      using directory = new Temporary();
      const members = open(directory, [['layer.tar', { type: 'symlink', target }]]);
      expect(await failure(() => readMember(members, 'layer.tar'))).toMatchObject({
        code: 'ERR_ARCHIVE_ESCAPE',
        message: expect.stringContaining(target) as string,
      });
    },
  );

  test('that links to itself or in a circle is refused', async () => {
    using directory = new Temporary();
    const members = open(directory, [
      ['self', { type: 'symlink', target: 'self' }],
      ['a', { type: 'symlink', target: 'b' }],
      ['b', { type: 'symlink', target: './a' }],
    ]);
    for (const name of ['self', 'a']) {
      expect(await failure(() => findMember(members, name))).toMatchObject({
        code: 'ERR_MALFORMED_IMAGE',
        message: expect.stringContaining('links go round in a circle') as string,
      });
    }
  });

  test('that links to nothing says to what', async () => {
    using directory = new Temporary();
    const members = open(directory, [['x/a', { type: 'symlink', target: '../gone' }]]);
    expect((await failure(() => findMember(members, 'x/a'))).message).toContain(
      'x/a: links to gone, which is not there',
    );
  });

  test('that is a directory is refused by that word', async () => {
    using directory = new Temporary();
    const members = open(directory, [['manifest.json', { type: 'directory' }]]);
    const error = await failure(() => readMember(members, 'manifest.json'));
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_IMAGE' });
    expect(error.message).toContain('is a directory, not a file');
  });

  test('is not read as a document above the limit', async () => {
    using directory = new Temporary();
    const members = open(directory, [['manifest.json', Buffer.alloc(DOCUMENT_LIMIT + 1)]]);
    expect(await failure(() => readMember(members, 'manifest.json'))).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
  });
});

describe('a member of an archive', () => {
  test('that is there twice is refused, unless a digest tells which is right', async () => {
    using directory = new Temporary();
    const blob = `blobs/sha256/${'ab'.repeat(32)}`;
    const members = forms.archive(directory, [
      ['manifest.json', 'one'],
      ['manifest.json', 'two'],
      ['x', { type: 'symlink', target: 'manifest.json' }],
      ['y', 'file'],
      ['y', { type: 'symlink', target: 'z' }],
      ['z', ''],
      [blob, 'one'],
      [blob, 'two'],
      ['d/', { type: 'directory' }],
      ['d/', { type: 'directory' }],
    ]);
    for (const name of ['manifest.json', 'x', 'y']) {
      expect((await failure(() => findMember(members, name))).message).toContain('appears more than once');
    }
    expect(await readMember(members, blob)).toEqual(Buffer.from('two'));
    expect((await failure(() => findMember(members, 'd'))).message).toContain('is a directory');
  });

  test('that is a device or fifo is refused', async () => {
    using directory = new Temporary();
    const members = forms.archive(directory, [['index.json', { type: 'character' }]]);
    expect((await failure(() => findMember(members, 'index.json'))).message).toContain('is a character, not a file');
  });

  test('that is a sparse file of GNU tar is refused: its bytes are not those of the file', async () => {
    using directory = new Temporary();
    execFileSync('truncate', ['-s', '1M', directory.join('layer.tar')]);
    execFileSync('tar', ['-C', directory.path, '--sparse', '-cf', directory.join('a.tar'), 'layer.tar']);
    const members = TarMembers.open(directory.join('a.tar'));
    expect((await failure(() => findMember(members, 'layer.tar'))).message).toContain('is a sparse file');
  });
});

describe('a member of a directory', () => {
  test('that lies behind a directory link inside is found, OUTSIDE IT IS NOT', async () => {
    using directory = new Temporary();
    const members = forms.directory(directory, [
      ['real/sha256/a', 'x'],
      ['blobs', { type: 'symlink', target: 'real' }],
      ['out', { type: 'symlink', target: '/etc' }],
    ]);
    expect(await readMember(members, 'blobs/sha256/a')).toEqual(Buffer.from('x'));
    expect(await failure(() => readMember(members, 'out/passwd'))).toMatchObject({ code: 'ERR_ARCHIVE_ESCAPE' });
  });

  test('that is a fifo is refused without waiting for a writer', async () => {
    using directory = new Temporary();
    execFileSync('mkfifo', [directory.join('index.json')]);
    const members = new DirectoryMembers(directory.path);
    expect((await failure(() => readMember(members, 'index.json'))).message).toContain('is a special file');
  });
});

describe('a name', () => {
  test('never keeps a component that is empty, . or ..', () => {
    const part = fc.constantFrom('', '.', '..', 'a', 'b', '/', '//');
    fc.assert(
      fc.property(fc.array(part), fc.array(part), (base, target) => {
        const directory = memberName(base.join('/')) ?? '';
        for (const name of [memberName(target.join('/')), linkTarget(directory, target.join('/'))]) {
          if (name === undefined) continue;
          expect(name.split('/').every((component) => !['', '.', '..'].includes(component))).toBe(true);
        }
      }),
    );
  });
});
