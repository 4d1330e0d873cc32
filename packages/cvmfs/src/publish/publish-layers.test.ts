import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ArchiveWorkers } from '@layerstore/archive';
import { digestOf, type Digest } from '@layerstore/core';
import { nativeSyscalls } from '@layerstore/linux';
import { openSqlite } from '@layerstore/sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { packDevice } from '../format/device-number.js';
import { parseHash } from '../format/content-hash.js';
import { readContent } from '../repository/read-content.js';
import { unpackFixture } from '../testing/fixture.js';
import { manifestOf, openPublished, sqlite3, type PublishedRepositoryReader } from '../testing/published.js';
import { makeLayer, packTree, seenEntries, sha256, type SeenEntry } from '../testing/source-tree.js';
import { TemporaryDirectory } from '../testing/temporary.js';
import { walk } from '../testing/walk.js';
import { initRepository } from './init-repository.js';
import { layerDirectory } from './layer-path.js';
import { publishLayers, type LayerToPublish, type PublishLayersOptions } from './publish-layers.js';
import type { PublishedRevision } from './publish-revision.js';
import type { PublisherKeys } from './publisher-keys.js';
import { RepositoryDirectory } from './repository-directory.js';

const name = 'images.example.org';
let workers: ArchiveWorkers;
let temporary: TemporaryDirectory;
let directory: string;
let keys: PublisherKeys;

beforeAll(() => {
  workers = new ArchiveWorkers({ threads: 2 });
});
afterAll(() => workers[Symbol.asyncDispose]());
beforeEach(async () => {
  temporary = new TemporaryDirectory();
  directory = join(temporary.path, name);
  keys = await initRepository({ name, directory, keys: join(temporary.path, 'keys') });
});
afterEach(() => temporary[Symbol.dispose]());

const publish = (
  layers: readonly LayerToPublish[],
  further: Partial<PublishLayersOptions> = {},
): Promise<PublishedRevision> => publishLayers({ directory, keys, workers, layers, ...further });

const fromTar = (path: string, digest = digestOf(readFileSync(path))): LayerToPublish => ({
  digest,
  source: { kind: 'tar', blob: { path } },
});

/** A layer of a few files; its tar and the digest of it. */
function smallLayer(label: string, content = label): LayerToPublish {
  const tree = join(temporary.path, `tree-${label}`);
  mkdirSync(join(tree, 'directory'), { recursive: true });
  writeFileSync(join(tree, 'directory', label), content);
  const tar = join(temporary.path, `${label}.tar`);
  packTree(tree, tar);
  return fromTar(tar);
}

/** All names below the repository, with the documents that change. */
function stateOf(): string {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  const documents = ['.cvmfspublished', '.cvmfsreflog'].map((file) => sha256(readFileSync(join(directory, file))));
  return [...names, ...documents].join('\n');
}

/** What a client sees of a layer, as the kernel would say it. */
async function publishedEntries(digest: Digest): Promise<Map<string, SeenEntry>> {
  await using published: PublishedRepositoryReader = await openPublished(directory, keys);
  const { repository } = published;
  using revision = await repository.revision();
  const root = `${layerDirectory(digest)}/layerfs`;
  const entries = new Map<string, SeenEntry>();
  for await (const entry of walk(revision)) {
    const path = entry.path.toString('latin1');
    if (path !== root && !path.startsWith(`${root}/`)) continue;
    const hash: Buffer[] = [];
    if (entry.type === 'file')
      for await (const piece of readContent(revision, repository.objects, entry)) hash.push(piece);
    entries.set(path.slice(root.length + 1), {
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: entry.size,
      mtimeNs: entry.device?.major === 0 ? 0n : entry.mtimeNs,
      device: entry.device === undefined ? 0 : Number(packDevice(entry.device)),
      link: entry.link.toString('latin1'),
      content: entry.type === 'file' ? sha256(Buffer.concat(hash)) : '',
      attributes: Object.fromEntries(
        revision.extendedAttributes(entry).map((one) => [one.name.toString('latin1'), one.value.toString('latin1')]),
      ),
    });
  }
  return entries;
}

const sorted = <T>(entries: Map<string, T>): [string, T][] => [...entries].sort(([one], [two]) => (one < two ? -1 : 1));

describe.skipIf(process.getuid?.() !== 0)('layers are published (needs root, for owners and devices)', () => {
  test('a client reads back every entry of the layer: type, mode, owner, size, time, content, links, devices, attributes, marks', async () => {
    const { tree, tar, digest } = makeLayer(temporary.path);
    const outcome = await publish([fromTar(tar, digest)]);
    expect(outcome).toMatchObject({ revision: 2, published: [digest] });
    expect(sorted(await publishedEntries(digest))).toEqual(sorted(seenEntries(tree)));
  });

  test('names of one file in one directory stay one file; in another directory it is a file of its own', async () => {
    const { tar, digest } = makeLayer(temporary.path);
    await publish([fromTar(tar, digest)]);
    await using published = await openPublished(directory, keys);
    using revision = await published.repository.revision();
    const links = new Map<string, readonly [nlink: number, inode: bigint]>();
    for await (const { path, nlink, inode, type } of walk(revision)) {
      if (type === 'file') links.set(path.toString('latin1').replace(/.*layerfs\//, ''), [nlink, inode.number]);
    }
    expect(links.get('usr/bin/tool')).toEqual([2, links.get('usr/bin/same-tool')?.[1]]);
    expect(links.get('var/linked-elsewhere')?.[0]).toBe(1);
    expect(links.get('var/linked-elsewhere')?.[1]).not.toBe(links.get('usr/bin/tool')?.[1]);
  });

  /** Recounts what a catalog says of its own rows, in the words of SQL. */
  const miscounted = `
  WITH files AS (SELECT * FROM catalog WHERE flags & 4 AND NOT flags & 8 AND NOT flags & 16), counted(counter, value) AS (VALUES
    ('self_dir', (SELECT count(*) FROM catalog WHERE flags & 1)),
    ('self_nested', (SELECT count(*) FROM nested_catalogs)),
    ('self_symlink', (SELECT count(*) FROM catalog WHERE flags & 8)),
    ('self_special', (SELECT count(*) FROM catalog WHERE flags & 16)),
    ('self_regular', (SELECT count(*) FROM files)),
    ('self_file_size', (SELECT ifnull(sum(size), 0) FROM files)),
    ('self_chunked', (SELECT count(*) FROM files WHERE flags & 64)),
    ('self_chunked_size', (SELECT ifnull(sum(size), 0) FROM files WHERE flags & 64)),
    ('self_chunks', (SELECT count(*) FROM chunks)),
    ('self_xattr', (SELECT count(*) FROM catalog WHERE xattr IS NOT NULL)),
    ('self_external', 0), ('self_external_file_size', 0))
  SELECT counted.counter FROM counted LEFT JOIN statistics USING (counter) WHERE statistics.value IS NOT counted.value`;

  describe('read by sqlite3', () => {
    test('the recount of statistics agrees with the catalogs of the standard tools', () => {
      const root = unpackFixture(temporary.path);
      const catalog = sqlite3.rootCatalog(root);
      expect(sqlite3.ask(catalog, miscounted)).toBe('');
      expect(
        Number(sqlite3.ask(catalog, "SELECT value FROM statistics WHERE counter = 'self_chunks'")),
      ).toBeGreaterThan(0);
    });

    test('root and nested catalog hold what the standard client insists on', async () => {
      const { tar, digest } = makeLayer(temporary.path);
      await publish([fromTar(tar, digest)]);
      const path = layerDirectory(digest);
      const root = sqlite3.rootCatalog(directory);
      expect(manifestOf(directory).rootCatalogSize).toBe(readFileSync(root).length);
      const [at, hash, size] = sqlite3.ask(root, 'SELECT path, sha1, size FROM nested_catalogs').split('|');
      expect(at).toBe(path);
      const nested = sqlite3.catalog(directory, parseHash(hash!)!);
      expect(Number(size)).toBe(readFileSync(nested).length);
      const rowOf = (catalog: string): string =>
        sqlite3.ask(
          catalog,
          `SELECT md5path_1, md5path_2, parent_1, parent_2, hardlinks, mode, uid, gid, mtime, name FROM catalog WHERE flags & 34`,
        );
      expect(rowOf(nested)).toBe(rowOf(root));
      expect(sqlite3.ask(root, 'SELECT flags FROM catalog WHERE flags & 34')).toBe('3');
      expect(sqlite3.ask(nested, 'SELECT flags FROM catalog WHERE flags & 34')).toBe('33');
      expect(sqlite3.ask(nested, "SELECT value FROM properties WHERE key = 'root_prefix'")).toBe(path);
      for (const catalog of [root, nested]) {
        expect(sqlite3.ask(catalog, 'PRAGMA integrity_check')).toBe('ok');
        expect(sqlite3.ask(catalog, 'SELECT count(*) FROM statistics')).toBe('24');
        expect(sqlite3.ask(catalog, miscounted)).toBe('');
      }
      const values = (catalog: string, prefix: string): string =>
        sqlite3.ask(
          catalog,
          `SELECT substr(counter, ${prefix.length + 1}), value FROM statistics WHERE counter LIKE '${prefix}%' ORDER BY 1`,
        );
      expect(values(root, 'subtree_')).toBe(values(nested, 'self_'));
      expect(sqlite3.ask(nested, 'SELECT offset, size FROM chunks ORDER BY 1')).toBe(
        '0|8388608\n8388608|8388608\n16777216|5242897',
      );
    });

    test('history and reflog name every revision, and the manifest names both', async () => {
      await publish([smallLayer('one')], { tag: { name: 'release-1', description: 'the first' } });
      await publish([smallLayer('two')]);
      const { history, reflog, rootCatalog } = manifestOf(directory);
      const database = sqlite3.history(directory, history!);
      expect(sqlite3.ask(database, 'SELECT name, revision FROM tags ORDER BY revision, name')).toBe(
        'release-1|2\ntrunk-previous|2\ntrunk|3',
      );
      const bytes = readFileSync(join(directory, '.cvmfsreflog'));
      expect(reflog?.hex).toBe(sqlite3.sha1(bytes));
      const refs = sqlite3.ask(join(directory, '.cvmfsreflog'), 'SELECT type, count(*) FROM refs GROUP BY type');
      expect(refs).toBe('0|3\n1|1\n2|3');
      expect(
        sqlite3.ask(join(directory, '.cvmfsreflog'), `SELECT type FROM refs WHERE hash = '${rootCatalog.hex}'`),
      ).toBe('0');
    });
  });

  test('what the repository has is not written again, and without anything new the revision stays', async () => {
    const one = smallLayer('one', 'shared content');
    const first = await publish([one]);
    expect(first.newObjects).toBe(4);
    expect(await publish([one])).toMatchObject({ revision: 2, published: [], newObjects: 0 });
    const second = await publish([one, smallLayer('two', 'shared content')]);
    expect(second).toMatchObject({ revision: 3, newObjects: 3 });
    const tagged = await publish([], { tag: { name: 'kept' } });
    expect(tagged.revision).toBe(4);
    await expect(publish([], { tag: { name: 'kept' } })).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await expect(publish([], { tag: { name: 'trunk' } })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await using published = await openPublished(directory, keys);
    expect((await published.repository.tags()).map((tag) => tag.name)).toEqual(['kept', 'trunk', 'trunk-previous']);
  });

  test('a directory in overlay form is published as it is, without unpacking; bookkeeping of the overlay stays behind', async () => {
    const { tar } = makeLayer(temporary.path);
    const tree = join(temporary.path, 'unpacked');
    mkdirSync(tree);
    await workers.run({
      kind: 'apply',
      source: { path: tar },
      compression: 'none',
      tree: { path: tree, dialect: 'overlay' },
    });
    const expected = sorted(seenEntries(tree));
    nativeSyscalls().setXattr(join(tree, 'usr'), 'trusted.overlay.origin', Buffer.from('a handle'));
    const digest = digestOf('of a directory');
    await publish([{ digest, source: { kind: 'tree', path: tree } }]);
    const untimed = ([path, entry]: [string, SeenEntry]): [string, SeenEntry] => [
      path,
      path === 'etc/gone' ? { ...entry, mtimeNs: 0n } : entry,
    ];
    expect(sorted(await publishedEntries(digest))).toEqual(expected.map(untimed));
  });

  describe('the repository is as before', () => {
    let before: string;
    let good: LayerToPublish;

    beforeEach(async () => {
      good = smallLayer('good');
      await publish([smallLayer('before')]);
      before = stateOf();
    });

    test('after one damaged layer among good ones', async () => {
      const path = join(temporary.path, 'damaged.tar');
      writeFileSync(path, 'no archive at all, '.repeat(100));
      await expect(publish([good, fromTar(path)])).rejects.toMatchObject({ code: 'ERR_MALFORMED_ARCHIVE' });
      expect(stateOf()).toBe(before);
    });

    test('after a tar that is another layer than the one named', async () => {
      const layer = { ...good, digest: digestOf('another') };
      await expect(publish([layer])).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
      expect(stateOf()).toBe(before);
    });

    test('after an extended attribute that no catalog holds', async () => {
      const tree = join(temporary.path, 'attributes');
      mkdirSync(tree);
      writeFileSync(join(tree, 'file'), '');
      nativeSyscalls().setXattr(join(tree, 'file'), 'user.long', Buffer.alloc(256, 'x'));
      const layer: LayerToPublish = { digest: digestOf('long'), source: { kind: 'tree', path: tree } };
      await expect(publish([layer])).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', subject: 'file' });
      expect(stateOf()).toBe(before);
    });

    test('after a publication that was cancelled', async () => {
      const { tar, digest } = makeLayer(temporary.path);
      const controller = new AbortController();
      const publication = publish([fromTar(tar, digest)], { signal: controller.signal });
      await delay(50);
      controller.abort();
      await expect(publication).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(stateOf()).toBe(before);
      expect((await publish([fromTar(tar, digest)])).published).toEqual([digest]);
    });

    test('while another publisher is at work, which is told', async () => {
      await using _lock = await new RepositoryDirectory(directory).lock();
      await expect(publish([good])).rejects.toMatchObject({ code: 'ERR_BUSY' });
      expect(stateOf()).toBe(before);
    });

    test('for keys of another repository, and for a manifest that somebody changed', async () => {
      const others = await initRepository({
        name,
        directory: join(temporary.path, 'other', name),
        keys: join(temporary.path, 'other-keys'),
      });
      await expect(publish([good], { keys: others })).rejects.toMatchObject({ code: 'ERR_REPOSITORY_UNTRUSTED' });
      const manifest = readFileSync(join(directory, '.cvmfspublished'), 'latin1');
      writeFileSync(join(directory, '.cvmfspublished'), manifest.replace('\nS2\n', '\nS1\n'), 'latin1');
      await expect(publish([good])).rejects.toMatchObject({ code: 'ERR_MALFORMED_REPOSITORY' });
    });

    test('until the whitelist is signed anew when it has expired', async () => {
      const later = Date.now() + 60 * 86_400_000;
      await expect(publish([good], { now: later })).rejects.toMatchObject({
        code: 'ERR_REPOSITORY_UNTRUSTED',
        hint: expect.stringContaining('thin renew') as string,
      });
      expect(stateOf()).toBe(before);
    });
  });

  test('publishers that are killed at any time leave a repository that clients read and the next one extends', async () => {
    const { tar, digest } = makeLayer(temporary.path);
    const script = `
    import { publishLayers, PublisherKeys } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    import { ArchiveWorkers } from '@layerstore/archive';
    console.log('begun');
    await publishLayers(${JSON.stringify({ directory, layers: [fromTar(tar, digest)] }).slice(
      0,
      -1,
    )}, keys: new PublisherKeys(${JSON.stringify(keys.directory)}, ${JSON.stringify(name)}), workers: new ArchiveWorkers() });
    process.exit(0);`;
    const cwd = new URL('../..', import.meta.url);
    for (const patience of [0, 100, 200, 350, 500, 700]) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        cwd,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      await delay(patience);
      child.kill('SIGKILL');
      await ended;
      await using published = await openPublished(directory, keys);
      using revision = await published.repository.revision();
      for await (const entry of walk(revision)) {
        if (entry.type !== 'file') continue;
        let size = 0;
        for await (const piece of readContent(revision, published.repository.objects, entry)) size += piece.length;
        expect(size).toBe(entry.size);
      }
    }
    await publish([fromTar(tar, digest)]);
    expect(readdirSync(join(directory, 'data/txn'))).toEqual(['lock']);
    expect((await publishedEntries(digest)).size).toBeGreaterThan(20);
  });

  test('what a killed publisher left is removed by the next one, and a whitelist that is being renewed is not', async () => {
    const leftover = (document: string): string => join(directory, `..cvmfs${document}.0123456789abcdef.tmp`);
    for (const document of ['published', 'reflog', 'whitelist']) writeFileSync(leftover(document), 'a part');
    mkdirSync(join(directory, 'data/txn/layers/tree'), { recursive: true });
    mkdirSync(join(directory, 'data/txn/objects'));
    await publish([smallLayer('one')]);
    expect(readdirSync(join(directory, 'data/txn'))).toEqual(['lock']);
    expect(readdirSync(directory).filter((file) => file.endsWith('.tmp'))).toEqual([basename(leftover('whitelist'))]);
    utimesSync(leftover('whitelist'), 1, 1);
    await publish([smallLayer('two')]);
    expect(readdirSync(directory).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });

  test('a reflog that is ahead of the manifest, as a kill between the two leaves it, is taken up', async () => {
    const reflog = join(directory, '.cvmfsreflog');
    const database = openSqlite(reflog);
    database.prepare('INSERT INTO refs VALUES (?, 0, 1)').run('f'.repeat(40));
    database.close();
    await publish([smallLayer('one')]);
    expect(manifestOf(directory).reflog?.hex).toBe(sqlite3.sha1(readFileSync(reflog)));
    writeFileSync(reflog, 'nonsense');
    await expect(publish([smallLayer('two')])).rejects.toMatchObject({ code: 'ERR_MALFORMED_REPOSITORY' });
  });
});
