import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { hashBytes } from '../format/content-hash.js';
import type { ObjectReference } from '../format/object-reference.js';
import { objectPath } from '../format/object-reference.js';
import { failure } from '../testing/failure.js';
import { Scene } from '../testing/scene.js';
import { RepositoryServer } from '../testing/repository-server.js';
import type { TestRepository } from '../testing/test-repository.js';

/** A port on loopback where nothing listens. */
const nowhere = 'http://127.0.0.1:1';

function objectOf(repository: TestRepository, text: string): ObjectReference {
  return { kind: 'file', hash: repository.add(text), compression: 'zlib', size: text.length };
}

test('the next server is asked when one is silent, lacks the object, fails, or sends a damaged one', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const missing = await scene.serve({ intercept: (_, response) => (response.writeHead(404).end(), true) });
  const failing = await scene.serve({ intercept: (_, response) => (response.writeHead(500).end('oops'), true) });
  const corrupt = await scene.serve({ intercept: (_, response) => (response.end('something else'), true) });
  const good = await scene.serve();
  const servers = [`${nowhere}/x`, missing.url, failing.url, corrupt.url, good.url];
  const client = await scene.client(servers);
  expect((await client.objects.fetch(object)).size).toBe(5);
  expect([missing, failing, corrupt, good].map(({ requests }) => requests.length)).toEqual([1, 1, 2, 1]);
});

test('a server that did not answer comes last for a while', async () => {
  await using scene = new Scene();
  const [one, two] = ['one', 'two'].map((text) => objectOf(scene.published, text));
  const broken = await scene.serve({ intercept: (_, response) => (response.destroy(), true) });
  const good = await scene.serve();
  const client = await scene.client([broken.url, good.url]);
  await client.objects.fetch(one!);
  await client.objects.fetch(two!);
  expect(broken.requests).toEqual([objectPath(one!)]);
  expect(good.requests.length).toBe(2);
});

test('whoever sent a damaged object is asked once more, past the caches on the way', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const asked: (string | undefined)[] = [];
  const server = await scene.serve({
    intercept: (_, response, { headers }) => {
      asked.push(headers['cache-control']);
      if (headers['cache-control'] === 'no-cache' && headers.pragma === 'no-cache') return false;
      response.end('from a bad cache');
      return true;
    },
  });
  await (await scene.client([server.url])).objects.fetch(object);
  expect(asked).toEqual([undefined, 'no-cache']);
});

test('redirects are not followed', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const target = await scene.serve();
  const server = await scene.serve({
    intercept: (path, response) => (response.writeHead(302, { location: `${target.url}/${path}` }).end(), true),
  });
  const caught = await failure(async () => (await scene.client([server.url])).objects.fetch(object));
  expect(caught.code).toBe('ERR_OBJECT_UNAVAILABLE');
  expect(caught.message).toContain('redirects are refused (HTTP 302)');
  expect(target.requests).toEqual([]);
});

test('when nobody answers the error names every source and what it did', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const client = await scene.client([`${nowhere}/a`, `${nowhere}/b`]);
  const caught = await failure(() => client.objects.fetch(object));
  expect(caught.code).toBe('ERR_REPOSITORY_UNREACHABLE');
  expect(caught.message).toMatch(/\/a: connect ECONNREFUSED.*\/b: connect ECONNREFUSED/);
});

test('a silent network gets another round, an answer does not', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const silent = await scene.serve({ intercept: (_, response) => (response.destroy(), true) });
  await failure(async () => (await scene.client([silent.url], { network: { retries: 2 } })).objects.fetch(object));
  expect(silent.requests.length).toBe(3);
  const missing = await scene.serve({ intercept: (_, response) => (response.writeHead(404).end(), true) });
  await failure(async () => (await scene.client([missing.url], { network: { retries: 2 } })).objects.fetch(object));
  expect(missing.requests.length).toBe(1);
});

test.each([
  ['says nothing', 0],
  ['sends a byte now and then', 20],
])('a server that %s is given up', async (_, pause) => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const slow = await scene.serve({
    intercept: (_path, response) => {
      const timer = setInterval(() => pause > 0 && response.write('x'), Math.max(pause, 10));
      response.on('close', () => clearInterval(timer));
      return true;
    },
  });
  const good = await scene.serve();
  const client = await scene.client([slow.url, good.url], { network: { directTimeout: 300 } });
  expect((await client.objects.fetch(object)).size).toBe(5);
  expect(slow.requests.length).toBe(1);
});

/** A plain HTTP proxy in front of loopback servers, with the paths that it was asked for. */
async function proxyTo(server: RepositoryServer, status?: number): Promise<RepositoryServer> {
  return RepositoryServer.start('/nonexistent', server.name, {
    intercept: (path, response) => {
      if (status !== undefined) return (response.writeHead(status).end(), true);
      const upstream = connect(server.port, '127.0.0.1', () =>
        upstream.write(`GET /${server.name}/${path} HTTP/1.0\r\n\r\n`),
      );
      upstream.pipe(response.socket!);
      return true;
    },
  });
}

test('requests go through a proxy that works, and then directly if that is allowed', async () => {
  await using scene = new Scene();
  const [one, two] = ['one', 'two'].map((text) => objectOf(scene.published, text));
  const server = await scene.serve();
  await using good = await proxyTo(server);
  const through = await scene.client([server.url], { proxies: [[nowhere], [good.origin]] });
  await through.objects.fetch(one!);
  expect(good.requests).toEqual([objectPath(one!)]);
  await using bad = await proxyTo(server, 503);
  const direct = await scene.client([server.url], { proxies: [[nowhere, bad.origin], ['DIRECT']] });
  await direct.objects.fetch(two!);
  expect(server.requests).toEqual([objectPath(one!), objectPath(two!)]);
});

test('a proxy that cannot reach one server is asked for the next', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const server = await scene.serve();
  await using proxy = await RepositoryServer.start(scene.published.root, server.name, {
    intercept: (_, response, { url }) => url?.includes(':1/') === true && (response.writeHead(504).end(), true),
  });
  const client = await scene.client([`${nowhere}/${server.name}`, server.url], { proxies: [[proxy.origin]] });
  expect((await client.objects.fetch(object)).size).toBe(5);
  expect(proxy.requests.length).toBe(2);
});

test('one download serves all who want the same object, and is given up when nobody does', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const waiting: (() => void)[] = [];
  const closed: string[] = [];
  const server = await scene.serve({
    intercept: (path, response) => {
      response.on('close', () => response.writableFinished || closed.push(path));
      waiting.push(() => response.end(scene.published.read(path)));
      return true;
    },
  });
  const client = await scene.client([server.url]);
  const [leaving, staying] = [new AbortController(), new AbortController()];
  const left = failure(() => client.objects.fetch(object, { signal: leaving.signal }));
  const stayed = client.objects.fetch(object, { signal: staying.signal });
  const third = client.objects.fetch(object);
  await expect.poll(() => waiting.length).toBe(1);
  leaving.abort();
  expect((await left).code).toBe('ERR_ABORTED');
  waiting[0]!();
  expect(await stayed).toEqual(await third);
  expect(server.requests.length).toBe(1);

  const other: ObjectReference = { ...object, hash: hashBytes('sha1', Buffer.from('other')) };
  const alone = new AbortController();
  const given = failure(() => client.objects.fetch(other, { signal: alone.signal }));
  await expect.poll(() => waiting.length).toBe(2);
  alone.abort();
  expect((await given).code).toBe('ERR_ABORTED');
  await expect.poll(() => closed).toEqual([objectPath(other)]);
});

test('many objects are fetched side by side, as many as allowed; what fails does not stop the others', async () => {
  await using scene = new Scene();
  const objects = Array.from({ length: 60 }, (_, index) => objectOf(scene.published, `object ${index}`));
  scene.published.remove(objectPath(objects[7]!));
  let [now, most] = [0, 0];
  const server = await scene.serve({
    intercept: (path, response) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        try {
          response.end(scene.published.read(path));
        } catch {
          response.writeHead(404).end();
        }
      }, 20);
      return true;
    },
  });
  const client = await scene.client([server.url], { network: { concurrency: 8 } });
  const failed = await client.objects.prefetch(objects);
  expect(failed.map(({ object }) => object)).toEqual([objects[7]]);
  expect(objects.filter((object) => client.objects.local.find(object) === undefined)).toEqual([objects[7]]);
  expect(most).toBe(8);
});
