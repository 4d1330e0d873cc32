import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hashBytes, type ContentHash } from './format/content-hash.js';
import { LocalObjects } from './objects/local-objects.js';
import type { Answer } from './repository/answer.js';
import { Revision } from './repository/revision.js';
import { failure } from './testing/failure.js';
import { Scene } from './testing/scene.js';
import {
  catalogBytes,
  directoryRow,
  type TestCatalog,
  type TestRepository,
  type TestRow,
} from './testing/test-repository.js';
import { settled, walk } from './testing/walk.js';

const root = directoryRow('');
const file: TestRow = { path: '/a', hash: { algorithm: 'sha1', hex: '1'.repeat(40) } };

/** What reading all of a repository ends in. */
async function reading(
  write: (repository: TestRepository) => TestCatalog,
  limits: object = {},
): Promise<{ code: string; message: string }> {
  await using scene = new Scene();
  scene.published.publish(write(scene.published));
  const server = await scene.serve();
  const repository = await scene.client([server.url], { limits });
  return await failure(async () => {
    using revision = await repository.revision();
    for await (const entry of walk(revision)) {
      if (entry.type === 'file') await settled(revision, (): Answer<unknown> => revision.content(entry));
    }
  });
}

const someHash = hashBytes('sha1', Buffer.from('x'));

describe('a catalog is refused', () => {
  test.each<[string, TestRow[]]>([
    ['a name with a slash', [{ ...file, name: '../../etc/passwd' }]],
    ['the name ..', [{ ...file, name: '..' }]],
    ['the name .', [{ ...file, name: '.' }]],
    ['an empty name', [{ ...file, name: '' }]],
    ['a name with a NUL', [{ ...file, name: 'a\0b' }]],
    ['a name of 256 bytes', [{ ...file, name: 'x'.repeat(256) }]],
    ['two entries of one name', [file, { ...file, path: '/b', name: 'a' }]],
    ['a file that is marked as a directory', [{ ...file, flags: 1 }]],
    ['a directory that is marked as a file', [{ ...directoryRow('/a'), flags: 4 }]],
    ['a type that there is none of', [{ ...file, mode: 0o170644 }]],
    ['a negative size', [{ ...file, size: -1 }]],
    ['a file without an object', [{ path: '/a', flags: 4, size: 1 }]],
    ['a hash algorithm that there is none of', [{ ...file, flags: 4 | (5 << 8) }]],
    ['a compression that there is none of', [{ ...file, flags: 4 | (7 << 11) }]],
    ['a link without a text', [{ path: '/a', mode: 0o120777, flags: 12, link: '' }]],
    ['chunks that are missing', [{ path: '/a', flags: 4 | 64, size: 10 }]],
    ['a mount point without a catalog', [directoryRow('/a', 3)]],
  ])('with %s', async (_, rows) => {
    expect((await reading(() => ({ rows: [root, ...rows] }))).code).toBe('ERR_MALFORMED_REPOSITORY');
  });

  test.each([
    [
      'a gap',
      "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, 4, zeroblob(20) FROM catalog WHERE name = 'a' UNION ALL SELECT md5path_1, md5path_2, 5, 5, zeroblob(20) FROM catalog WHERE name = 'a'",
    ],
    [
      'an overlap',
      "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, 6, zeroblob(20) FROM catalog WHERE name = 'a' UNION ALL SELECT md5path_1, md5path_2, 5, 5, zeroblob(20) FROM catalog WHERE name = 'a'",
    ],
    [
      'more than the file has',
      "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, 11, zeroblob(20) FROM catalog WHERE name = 'a'",
    ],
    [
      'a short hash',
      "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, 10, zeroblob(3) FROM catalog WHERE name = 'a'",
    ],
    [
      'a size that is no number',
      "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, 'x', zeroblob(20) FROM catalog WHERE name = 'a'",
    ],
  ])('with chunks that have %s', async (_, sql) => {
    const rows = [root, { path: '/a', flags: 4 | 64, size: 10 }];
    expect((await reading(() => ({ rows, sql: [sql] }))).code).toBe('ERR_MALFORMED_REPOSITORY');
  });

  test('with content on servers outside the repository', async () => {
    expect((await reading(() => ({ rows: [root, { path: '/a', flags: 4 | 128, size: 10 }] }))).code).toBe(
      'ERR_UNSUPPORTED_FORMAT',
    );
  });

  test.each([
    ['outside its own tree', '/elsewhere'],
    ['at its own root', '/n'],
    ['beside it, with the same beginning', '/neighbour'],
    ['above it by ..', '/n/../etc'],
    ['by a relative path', 'n/a'],
  ])('with a nested catalog %s', async (_, at) => {
    const caught = await reading((repository) => {
      const nested = repository.addCatalog({ prefix: '/n', rows: [directoryRow('/n', 33)], nested: [[at, someHash]] });
      return { rows: [root, directoryRow('/n', 3)], nested: [['/n', nested]] };
    });
    expect(caught).toMatchObject({
      code: 'ERR_MALFORMED_REPOSITORY',
      message: expect.stringContaining('outside its own tree') as string,
    });
  });

  test('when it is shown at a place that it was not made for', async () => {
    const caught = await reading((repository) => {
      const nested = repository.addCatalog({ prefix: '/other', rows: [directoryRow('/other', 33)] });
      return { rows: [root, directoryRow('/n', 3)], nested: [['/n', nested]] };
    });
    expect(caught.message).toContain('is one for /other');
  });

  test.each<[string, string]>([
    ['a view in place of its table', 'ALTER TABLE catalog RENAME TO real; CREATE VIEW catalog AS SELECT * FROM real'],
    [
      'a view that counts for ever',
      'CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n',
    ],
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON catalog BEGIN DELETE FROM catalog; END'],
    [
      'columns that are computed',
      'ALTER TABLE properties ADD COLUMN more TEXT GENERATED ALWAYS AS (hex(zeroblob(1000000))) VIRTUAL',
    ],
    ['a virtual table', 'CREATE VIRTUAL TABLE f USING fts5(x)'],
    ['no table of entries', 'DROP TABLE catalog'],
  ])('with %s', async (_, sql) => {
    expect((await reading(() => ({ rows: [root], sql: [sql] }))).code).toBe('ERR_MALFORMED_REPOSITORY');
  });

  test('without an entry for its own root', async () => {
    expect((await reading(() => ({ rows: [] }))).code).toBe('ERR_MALFORMED_REPOSITORY');
  });

  test('that is no database at all, or half of one', async () => {
    for (const bytes of [
      Buffer.from('hello'),
      Buffer.alloc(100_000),
      Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(84, 1)]),
    ]) {
      await using scene = new Scene();
      scene.published.whitelist();
      scene.published.manifest(scene.published.add(bytes, 'catalog'));
      const server = await scene.serve();
      const repository = await scene.client([server.url]);
      expect((await failure(() => repository.revision())).code).toBe('ERR_MALFORMED_REPOSITORY');
    }
  });

  test('with more entries, more nested catalogs or more bytes than are allowed', async () => {
    const many = Array.from({ length: 50 }, (_, index) => directoryRow(`/d${index}`));
    expect((await reading(() => ({ rows: [root, ...many] }), { directoryEntries: 49 })).code).toBe(
      'ERR_LIMIT_EXCEEDED',
    );
    const nested = many.map(({ path }) => [path, someHash] as const);
    expect((await reading(() => ({ rows: [root, ...many], nested }), { nestedCatalogs: 49 })).code).toBe(
      'ERR_LIMIT_EXCEEDED',
    );
    expect((await reading(() => ({ rows: [root, ...many] }), { catalogSize: 10_000 })).code).toBe('ERR_LIMIT_EXCEEDED');
    const claim = (): TestCatalog => ({ rows: [root, directoryRow('/n', 3)], nested: [['/n', someHash, 2 ** 40]] });
    expect((await reading(claim)).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  test('whose manifest says another size of it', async () => {
    await using scene = new Scene();
    scene.published.publish({ rows: [root] }, { rootCatalogSize: 100 });
    const server = await scene.serve();
    const repository = await scene.client([server.url]);
    expect((await failure(() => repository.revision())).code).toBe('ERR_SIZE_MISMATCH');
  });
});

test('paths that callers give cannot leave the repository', async () => {
  await using scene = new Scene();
  scene.published.publish({ rows: [root, file] });
  const server = await scene.serve();
  using revision = await (await scene.client([server.url])).revision();
  for (const path of ['a', '/..', '/a/../a', '/./a', '//a', '/a\0', `/${'x'.repeat(256)}`]) {
    expect(() => revision.lookup(path)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  }
  expect(revision.lookup('/a/b').kind).toBe('absent');
  expect(revision.lookup('/').kind).toBe('found');
});

test('a catalog that is inside itself is refused', async () => {
  await using scene = new Scene();
  // No hash leads to itself; a cache that somebody wrote into can.
  const hash: ContentHash = { algorithm: 'sha1', hex: '2'.repeat(40) };
  const bytes = catalogBytes({ rows: [root, directoryRow('/n', 3)], nested: [['/n', hash]] });
  mkdirSync(scene.path('cache/objects/22'), { recursive: true });
  writeFileSync(scene.path(`cache/objects/22/${hash.hex.slice(2)}`), bytes);
  const record = { repository: 'x', rootCatalog: hash, rootCatalogSize: undefined, revision: 1, tag: undefined };
  using revision = new Revision({ record, local: new LocalObjects(scene.path('cache')) });
  expect(() => revision.lookup('/n')).toThrow(
    expect.objectContaining({
      code: 'ERR_MALFORMED_REPOSITORY',
      message: expect.stringContaining('inside itself') as string,
    }),
  );
});

test('catalogs in one another without end are refused', async () => {
  const caught = await reading((repository) => {
    const at = (depth: number): string => '/a'.repeat(depth);
    let below = repository.addCatalog({ prefix: at(131), rows: [directoryRow(at(131), 33)] });
    const level = (depth: number): TestCatalog => ({
      prefix: at(depth),
      rows: [directoryRow(at(depth), 33), directoryRow(at(depth + 1), 3)],
      nested: [[at(depth + 1), below]],
    });
    for (let depth = 130; depth > 0; depth -= 1) below = repository.addCatalog(level(depth));
    return level(0);
  });
  expect(caught).toMatchObject({
    code: 'ERR_MALFORMED_REPOSITORY',
    message: expect.stringContaining('more than 128 catalogs in one another') as string,
  });
});
