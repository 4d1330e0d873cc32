import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { encodePlainHeader, END_OF_ARCHIVE } from '@layerstore/archive';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findMember, readMember, readRange } from './members.js';
import { TarMembers } from './tar-members.js';
import { failure } from './testing/failure.js';
import { tarOf } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';

describe('the table of contents of a tar', () => {
  test('finds the bytes of every file, whatever the names and sizes around it', async () => {
    const name = fc.stringMatching(/^[a-zé]{1,90}(\/[a-z]{1,120}){0,2}$/);
    const content = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.tuple(name, content), { selector: ([key]) => key }), async (files) => {
        using directory = new Temporary();
        const members = TarMembers.open(directory.write('a.tar', tarOf(files)));
        expect([...(await members.names())]).toEqual(files.map(([key]) => key));
        for (const [key, bytes] of files) expect(await readMember(members, key)).toEqual(bytes);
      }),
      { numRuns: 40 },
    );
  });

  test('is made without reading content: a 64 GiB layer costs nothing', async () => {
    using directory = new Temporary();
    const path = directory.join('big.tar');
    const size = 64 * 2 ** 30;
    const file = openSync(path, 'w');
    const header = encodePlainHeader('big/layer.tar', 'file', size);
    writeSync(file, header, 0, header.length, 0);
    const rest = tarOf([['manifest.json', '[]']]);
    writeSync(file, rest, 0, rest.length, header.length + size);
    closeSync(file);
    const members = TarMembers.open(path);
    expect(await findMember(members, 'big/layer.tar')).toEqual({ path, offset: header.length, length: size });
    expect(await readMember(members, 'manifest.json')).toEqual(Buffer.from('[]'));
  });

  test.each(['./manifest.json', '/manifest.json', './/manifest.json'])('knows %s as manifest.json', async (name) => {
    using directory = new Temporary();
    const members = TarMembers.open(directory.write('a.tar', tarOf([[name, 'x']])));
    expect(await readMember(members, 'manifest.json')).toEqual(Buffer.from('x'));
  });

  test('follows symlinks and hard links to their end', async () => {
    using directory = new Temporary();
    const members = TarMembers.open(
      directory.write(
        'a.tar',
        tarOf([
          ['b/layer.tar', { type: 'symlink', target: '../a/layer.tar' }],
          ['c/layer.tar', { type: 'hardlink', target: 'b/layer.tar' }],
          ['a/layer.tar', 'bytes'],
        ]),
      ),
    );
    for (const name of ['a', 'b', 'c']) {
      expect(await readMember(members, `${name}/layer.tar`)).toEqual(Buffer.from('bytes'));
    }
  });

  test('takes archives without closing blocks', async () => {
    using directory = new Temporary();
    const tar = tarOf([['a', 'x']]).subarray(0, -END_OF_ARCHIVE.length);
    expect(await readMember(TarMembers.open(directory.write('a.tar', tar)), 'a')).toEqual(Buffer.from('x'));
  });

  test('of an archive that ends inside a member is refused', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar', tarOf([['a', Buffer.alloc(2000)]]).subarray(0, 1500));
    expect(await failure(() => TarMembers.open(path))).toMatchObject({ code: 'ERR_TRUNCATED', subject: path });
  });

  test('of a file that is no archive is refused with a hint', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar', Buffer.alloc(4096, 'not a tar. '));
    expect(await failure(() => TarMembers.open(path))).toMatchObject({
      code: 'ERR_MALFORMED_ARCHIVE',
      subject: path,
      hint: expect.stringContaining('is it an image archive') as string,
    });
  });

  test('of an archive with a hundred thousand headers is refused by its limit', async () => {
    using directory = new Temporary();
    const header = encodePlainHeader('a', 'directory', 0);
    const path = directory.write('a.tar', Buffer.alloc(header.length * 100_001, header));
    expect(await failure(() => TarMembers.open(path))).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', subject: path });
  });

  test('notices when the file became shorter after it was opened', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar', tarOf([['a', Buffer.alloc(2000)]]));
    const range = await findMember(TarMembers.open(path), 'a');
    const file = openSync(path, 'r+');
    ftruncateSync(file, 1000);
    closeSync(file);
    expect(range).toBeDefined();
    if (range !== undefined) {
      expect(await failure(() => readRange(range, 'a'))).toMatchObject({ code: 'ERR_TRUNCATED' });
    }
  });

  test('of a file that was removed after it was opened ends in an error that names it', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar', tarOf([['manifest.json', '[]']]));
    const members = TarMembers.open(path);
    rmSync(path);
    expect(await failure(() => readMember(members, 'manifest.json'))).toMatchObject({
      code: 'ERR_IO',
      subject: `${path}: manifest.json`,
    });
    expect(await failure(() => TarMembers.open(path))).toMatchObject({ code: 'ERR_IO', subject: path });
  });
});
