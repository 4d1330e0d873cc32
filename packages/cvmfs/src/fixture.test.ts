import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Repository } from './repository/repository.js';
import type { Entry } from './repository/entry.js';
import type { Revision } from './repository/revision.js';
import { readContent } from './repository/read-content.js';
import { configurationOf, expectedEntries, fixtureName, unpackFixture, type ExpectedEntry } from './testing/fixture.js';
import { RepositoryServer } from './testing/repository-server.js';
import { TemporaryDirectory } from './testing/temporary.js';
import { walk } from './testing/walk.js';

const directory = new TemporaryDirectory();
let server: RepositoryServer;
let repository: Repository;

beforeAll(async () => {
  server = await RepositoryServer.start(unpackFixture(directory.path), fixtureName);
  repository = await Repository.open({
    // The manifests were recorded with an empty environment, which the standard client expands links with.
    configuration: configurationOf([server.url], `${directory.path}/cache`, { linkVariables: {} }),
  });
});

afterAll(async () => {
  await repository[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

async function contentOf(revision: Revision, file: Entry): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of readContent(revision, repository.objects, file)) hash.update(piece);
  return hash.digest('hex');
}

const types: Readonly<Record<string, string>> = {
  directory: 'dir',
  'character-device': 'char',
  'block-device': 'block',
};

/** An entry in the form of the recorded manifests; hard links by the number of their inode. */
async function recorded(revision: Revision, entry: Entry): Promise<ExpectedEntry> {
  const text = entry.path.length === 0 ? '/' : entry.path.toString('utf8');
  const isText = Buffer.from(text, 'utf8').equals(entry.path) || text === '/';
  const attributes = revision.extendedAttributes(entry);
  return {
    ...(isText ? { path: text } : { path_b64: entry.path.toString('base64') }),
    type: types[entry.type] ?? entry.type,
    mode: (entry.mode & 0o7777).toString(8).padStart(4, '0'),
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtime: Number(entry.mtimeNs / 1_000_000_000n),
    mtime_ns: Number(entry.mtimeNs % 1_000_000_000n),
    nlink: entry.nlink,
    ...(entry.type === 'file' ? { sha256: await contentOf(revision, entry) } : {}),
    ...(entry.type === 'symlink' ? { link: entry.link.toString('utf8') } : {}),
    ...(entry.device === undefined ? {} : { rdev: [entry.device.major, entry.device.minor] }),
    ...(attributes.length === 0
      ? {}
      : {
          xattrs_b64: Object.fromEntries(
            attributes.map(({ name, value }) => [name.toString(), value.toString('base64')]),
          ),
        }),
  };
}

const keyOf = ({ path, path_b64 }: ExpectedEntry): string => path ?? path_b64!;

/** Paths of hard links, by group. */
function groups(pairs: Iterable<readonly [string, unknown]>): string[][] {
  const found = new Map<unknown, string[]>();
  for (const [path, group] of pairs) found.set(group, [...(found.get(group) ?? []), path]);
  return [...found.values()].map((paths) => paths.sort()).sort();
}

describe.each([
  ['manifest.json', { kind: 'newest' } as const],
  ['manifest-first.json', { kind: 'tag', tag: 'first' } as const],
  ['manifest-second.json', { kind: 'tag', tag: 'second' } as const],
  ['manifest-third.json', { kind: 'tag', tag: 'third' } as const],
])('%s of the fixture', (file, choice) => {
  test('agrees in every entry: type, mode, owner, size, time, links, content, device and attributes', async () => {
    using revision = await repository.revision(choice);
    const expected = new Map(expectedEntries(file).map((entry) => [keyOf(entry), entry]));
    const numbers = new Map<string, bigint>();
    const seen = new Map<string, ExpectedEntry>();
    for await (const entry of walk(revision)) {
      const shown = await recorded(revision, entry);
      const key = keyOf(shown);
      seen.set(key, shown);
      if (entry.nlink > 1 && entry.type === 'file') numbers.set(key, entry.inode.number);
      const { hardlink_group } = expected.get(key)!;
      expect(hardlink_group === undefined ? shown : { ...shown, hardlink_group }).toEqual(expected.get(key));
    }
    expect([...seen.keys()].sort()).toEqual([...expected.keys()].sort());
    const linked = [...expected].flatMap(([key, { hardlink_group }]) =>
      hardlink_group === undefined ? [] : [[key, hardlink_group] as const],
    );
    expect(groups(numbers)).toEqual(groups(linked));
  });
});

test('every file has an inode number of its own, the same whenever the revision is opened', async () => {
  const numbers = async (): Promise<Map<string, bigint>> => {
    using revision = await repository.revision();
    const found = new Map<string, bigint>();
    for await (const { path, inode, nlink, type } of walk(revision)) {
      if (type !== 'file' || nlink === 1) found.set(path.toString('latin1'), inode.number);
    }
    return found;
  };
  const first = await numbers();
  expect(new Set(first.values()).size).toBe(first.size);
  expect(await numbers()).toEqual(first);
});

test('tags are listed newest first', async () => {
  const tags = await repository.tags();
  expect(tags.map(({ name }) => name)).toEqual(['fourth', 'trunk', 'third', 'trunk-previous', 'second', 'first']);
});
