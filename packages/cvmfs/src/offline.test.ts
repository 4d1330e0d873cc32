import { rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { failure } from './testing/failure.js';
import { Scene } from './testing/scene.js';
import { directoryRow, type TestRow } from './testing/test-repository.js';
import { settled, walk } from './testing/walk.js';

const root = directoryRow('');
const nowhere = 'http://127.0.0.1:1/x';
const afterExpiry = (): number => Date.parse('2067-01-01T00:00:00Z');

/** A cache that has seen a repository with one file, read, and one that was not. */
async function seen(scene: Scene): Promise<void> {
  const rows: TestRow[] = [
    root,
    scene.published.file('/read', 'read before'),
    scene.published.file('/unread', 'never read'),
  ];
  scene.published.publish({ rows }, { revision: 3 });
  await using server = await scene.serve();
  await using client = await scene.client([server.url]);
  using revision = await client.revision();
  const file = await settled(revision, () => revision.lookup('/read'));
  await client.objects.fetch(file!.object!);
}

test('without a network everything works that is cached', async () => {
  await using scene = new Scene();
  await seen(scene);
  const client = await scene.client([nowhere]);
  expect(await client.refresh()).toMatchObject({ origin: 'cache', manifest: { revision: 3 } });
  using revision = await client.revision();
  const paths: string[] = [];
  for await (const { path } of walk(revision)) paths.push(path.toString());
  expect(paths).toEqual(['', '/read', '/unread']);
  const [read, unread] = ['/read', '/unread'].map((path) => revision.lookup(path));
  if (read?.kind !== 'found' || unread?.kind !== 'found') throw new Error('not found');
  expect((await client.objects.fetch(read.value.object!)).size).toBe(11);
  expect((await failure(() => client.objects.fetch(unread.value.object!))).code).toBe('ERR_REPOSITORY_UNREACHABLE');
});

test('without a network a cached whitelist that has expired counts only if that is wanted', async () => {
  await using scene = new Scene();
  await seen(scene);
  const strict = await scene.client([nowhere], {}, { clock: afterExpiry });
  const caught = await failure(() => strict.refresh());
  expect(caught.code).toBe('ERR_REPOSITORY_UNREACHABLE');
  expect(caught.message).toContain('the cached whitelist has expired');
  const lenient = await scene.client([nowhere], { expiredOffline: 'accept' }, { clock: afterExpiry });
  expect((await lenient.refresh()).origin).toBe('cache');
});

test('a revision by its root hash needs no server and no whitelist', async () => {
  await using scene = new Scene();
  await seen(scene);
  const online = await scene.client([nowhere]);
  const { rootCatalog } = await online.resolve({ kind: 'newest' });
  const client = await scene.client([nowhere], {}, { clock: afterExpiry });
  using revision = await client.revision({ kind: 'root-hash', rootCatalog });
  expect(revision.lookup('/read').kind).toBe('found');
  expect(revision.publishedRevision).toBe(1);
});

test('what is cached is checked again: under another key, and when somebody changed it, it does not count', async () => {
  await using scene = new Scene();
  await seen(scene);
  const { MasterKey } = await import('./testing/publisher-keys.js');
  const other = await scene.client([nowhere], { masterKeys: [new MasterKey().publicPem] });
  expect((await failure(() => other.refresh())).code).toBe('ERR_REPOSITORY_UNREACHABLE');
  const path = scene.path('cache/repositories/test.example.org/head.json');
  for (const text of ['', '{}', '[1]', '{"manifest":"AAAA","whitelist":"AAAA","certificate":"AAAA"}']) {
    writeFileSync(path, text);
    const client = await scene.client([nowhere]);
    expect((await failure(() => client.refresh())).code).toBe('ERR_REPOSITORY_UNREACHABLE');
  }
});

test('with an empty cache and no network the error says so', async () => {
  await using scene = new Scene();
  const client = await scene.client([nowhere]);
  expect((await failure(() => client.revision())).code).toBe('ERR_REPOSITORY_UNREACHABLE');
  expect((await failure(() => client.tags())).code).toBe('ERR_REPOSITORY_UNREACHABLE');
});

test('a repository without a server or a key is refused before anything is asked', async () => {
  await using scene = new Scene();
  expect((await failure(() => scene.client([]))).code).toBe('ERR_REPOSITORY_NOT_CONFIGURED');
  expect((await failure(() => scene.client([nowhere], { masterKeys: [] }))).code).toBe('ERR_REPOSITORY_NOT_CONFIGURED');
  expect((await failure(() => scene.client([nowhere], { masterKeys: ['x'] }))).code).toBe('ERR_INVALID_ARGUMENT');
  expect((await failure(() => scene.client(['ftp://x']))).code).toBe('ERR_INVALID_ARGUMENT');
  expect((await failure(() => scene.client([nowhere], { name: '../x' }))).code).toBe('ERR_INVALID_ARGUMENT');
});

test('a catalog that was cleaned up is fetched again, and a second reader finds it without being told', async () => {
  await using scene = new Scene();
  const nested = scene.published.addCatalog({
    prefix: '/n',
    rows: [directoryRow('/n', 33), { ...directoryRow('/n/d') }],
  });
  scene.published.publish({ rows: [root, directoryRow('/n', 3)], nested: [['/n', nested]] });
  const server = await scene.serve();
  const client = await scene.client([server.url]);
  const { LocalObjects } = await import('./objects/local-objects.js');
  const { Revision } = await import('./repository/revision.js');
  using fetching = await client.revision();
  using waiting = new Revision({ record: fetching.record, local: new LocalObjects(scene.path('cache')) });
  const missing = waiting.lookup('/n/d');
  if (missing.kind !== 'needs') throw new Error('it is there');
  expect((await failure(() => waiting.load(missing))).code).toBe('ERR_CLOSED');
  await fetching.load(missing);
  expect(waiting.lookup('/n/d').kind).toBe('found');
  rmSync(client.objects.local.find(missing.catalog)!.path);
  expect(fetching.lookup('/n/d').kind).toBe('needs');
  expect(waiting.lookup('/n/d').kind).toBe('found');
});

test('an unknown tag is told with what to do', async () => {
  await using scene = new Scene();
  scene.published.publish({ rows: [root] });
  const server = await scene.serve();
  const client = await scene.client([server.url]);
  expect(await client.tags()).toEqual([]);
  expect((await failure(() => client.revision({ kind: 'tag', tag: 'x' }))).code).toBe('ERR_REVISION_NOT_FOUND');
});

test('variables in links are literal unless they are to be expanded', async () => {
  await using scene = new Scene();
  const link = { path: '/l', mode: 0o120777, flags: 12, link: '$(A)/$(B:-b)/$(C)' };
  scene.published.publish({ rows: [root, link] });
  const server = await scene.serve();
  const textOf = async (linkVariables?: Record<string, string>): Promise<string> => {
    const client = await scene.client([server.url], linkVariables === undefined ? {} : { linkVariables });
    using revision = await client.revision();
    return (await settled(revision, () => revision.lookup('/l')))!.link.toString();
  };
  expect(await textOf()).toBe('$(A)/$(B:-b)/$(C)');
  expect(await textOf({ A: 'x' })).toBe('x/b/');
});
