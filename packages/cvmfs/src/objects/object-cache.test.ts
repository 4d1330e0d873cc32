import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { uptime } from 'node:os';
import { describe, expect, test } from 'vitest';
import { nativeSyscalls } from '@layerstore/linux';
import { contentKey, objectPath, type ObjectReference } from '../format/object-reference.js';
import { hashAlgorithms } from '../format/content-hash.js';
import { failure } from '../testing/failure.js';
import { Scene } from '../testing/scene.js';
import type { TestRepository } from '../testing/test-repository.js';
import { Repository } from '../repository/repository.js';
import { LocalObjects } from './local-objects.js';

function objectOf(repository: TestRepository, text: string): ObjectReference {
  return { kind: 'file', hash: repository.add(text), compression: 'zlib', size: text.length };
}

describe.each(hashAlgorithms)('objects named by %s', (algorithm) => {
  test.each([
    ['zlib', 'nothing', ''],
    ['none', 'nothing', ''],
    ['zlib', 'a few bytes', 'hello'],
    ['none', 'a few bytes', 'hello'],
    ['zlib', 'megabytes', 'megabytes of it'.repeat(400_000)],
    ['none', 'megabytes', 'megabytes of it'.repeat(400_000)],
  ] as const)('and stored with compression %s are cached decompressed: %s', async (compression, _, text) => {
    await using scene = new Scene();
    const hash = scene.published.add(text, 'file', compression, algorithm);
    const object: ObjectReference = { kind: 'file', hash, compression, size: text.length };
    const server = await scene.serve();
    const { objects } = await scene.client([server.url]);
    const { path, size } = await objects.fetch(object);
    expect(size).toBe(text.length);
    expect(readFileSync(path, 'utf8') === text).toBe(true);
    expect(new LocalObjects(scene.path('cache')).find(object)).toEqual({ path, size });
  });
});

test('random bytes, which zlib makes longer, are no longer than they may be', async () => {
  await using scene = new Scene();
  const server = await scene.serve();
  const { objects } = await scene.client([server.url]);
  for (const size of [1, 1000, 3_000_000]) {
    const object: ObjectReference = {
      kind: 'file',
      hash: scene.published.add(randomBytes(size)),
      compression: 'zlib',
      size,
    };
    expect((await objects.fetch(object)).size).toBe(size);
  }
});

test('the same stored bytes are two contents when one entry says compressed and another says plain', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const stored = scene.published.read(objectPath(object));
  const plain: ObjectReference = { ...object, compression: 'none', size: stored.length };
  const server = await scene.serve();
  const { objects } = await scene.client([server.url]);
  expect(readFileSync((await objects.fetch(object)).path, 'utf8')).toBe('hello');
  expect(readFileSync((await objects.fetch(plain)).path)).toEqual(stored);
});

/** Damages a cached file as a power cut could: changed, and last changed before the machine started. */
async function afterPowerCut(
  scene: Scene,
  damage: (path: string) => void,
): Promise<{ requests: number; text: string }> {
  const object = objectOf(scene.published, 'hello');
  const server = await scene.serve();
  const first = await scene.client([server.url]);
  const { path } = await first.objects.fetch(object);
  damage(path);
  const before = Date.now;
  // The time of a change cannot be set; so this process takes the boot to be later.
  Date.now = () => before() + 1000 + uptime() * 1000;
  try {
    const local = new LocalObjects(scene.path('cache'));
    expect(local.find(object)).toBeUndefined();
    expect(local.open(object)).toBeUndefined();
    const late = await scene.client([server.url]);
    const fetched = await late.objects.fetch(object);
    return { requests: server.requests.length, text: readFileSync(fetched.path, 'utf8') };
  } finally {
    Date.now = before;
  }
}

describe('a file from before the last boot', () => {
  test('is used after it was compared with its digest', async () => {
    await using scene = new Scene();
    expect(await afterPowerCut(scene, () => undefined)).toEqual({ requests: 1, text: 'hello' });
  });

  test.each([
    ['has lost its content', (path: string) => writeFileSync(path, '')],
    ['is full of zeros', (path: string) => writeFileSync(path, Buffer.alloc(5))],
    [
      'has lost its digest',
      (path: string) => nativeSyscalls().removeXattr(path, Buffer.from('user.layerstore.sha256')),
    ],
  ])('is fetched again when it %s', async (_, damage) => {
    await using scene = new Scene();
    expect(await afterPowerCut(scene, damage)).toEqual({ requests: 2, text: 'hello' });
  });
});

test('a check finds damaged objects and removes them', async () => {
  await using scene = new Scene();
  const [one, two] = ['one', 'two'].map((text) => objectOf(scene.published, text));
  const server = await scene.serve();
  const { objects } = await scene.client([server.url]);
  const { path } = await objects.fetch(one!);
  await objects.fetch(two!);
  writeFileSync(path, 'onE');
  expect(await objects.check()).toEqual({ objects: 2, bytes: 6, damaged: [contentKey(one!)], unverifiable: 0 });
  expect(await objects.check()).toEqual({ objects: 1, bytes: 3, damaged: [], unverifiable: 0 });
});

test('a cached file that was cut short is not given out, and is fetched again', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const server = await scene.serve();
  const { objects } = await scene.client([server.url]);
  writeFileSync((await objects.fetch(object)).path, 'he');
  expect(objects.local.find(object)).toBeUndefined();
  expect(readFileSync((await objects.fetch(object)).path, 'utf8')).toBe('hello');
});

describe('a clean-up', () => {
  const text = (index: number): string => String(index).repeat(10_000).slice(0, 10_000);
  const KEPT_BLOCKS = 12_288;

  test('removes what was not used for longest, down to half of the limit, and no pinned catalog', async () => {
    await using scene = new Scene();
    const files = Array.from({ length: 10 }, (_, index) => objectOf(scene.published, text(index)));
    const pinned: ObjectReference = { ...objectOf(scene.published, 'a catalog'), kind: 'catalog' };
    scene.published.add('a catalog', 'catalog');
    const server = await scene.serve();
    const { objects } = await scene.client([server.url], { cacheLimit: 8 * KEPT_BLOCKS });
    const catalog = await objects.fetch(pinned);
    utimesSync(catalog.path, 1000, 1000);
    for (const [index, file] of files.entries()) {
      const { path } = await objects.fetch(file);
      utimesSync(path, 2000 + index, 2000 + index);
      await objects.cleanUp();
    }
    const left = files.filter((file) => objects.local.find(file) !== undefined);
    expect(left).toEqual(files.slice(-left.length));
    expect(left.length).toBeGreaterThanOrEqual(3);
    expect(left.length).toBeLessThanOrEqual(8);
    expect(objects.local.find(pinned)).toEqual(catalog);
  });

  test('happens by itself when a download goes over the limit', async () => {
    await using scene = new Scene();
    const files = Array.from({ length: 40 }, (_, index) => objectOf(scene.published, text(index)));
    const server = await scene.serve();
    const { objects } = await scene.client([server.url], { cacheLimit: 8 * KEPT_BLOCKS });
    await objects.prefetch(files);
    await expect
      .poll(() => files.filter((file) => objects.local.find(file) !== undefined).length)
      .toBeLessThanOrEqual(8);
  });

  test('leaves what is open readable', async () => {
    await using scene = new Scene();
    const object = objectOf(scene.published, text(1));
    const server = await scene.serve();
    const { objects } = await scene.client([server.url], { cacheLimit: 1 });
    await objects.fetch(object);
    const opened = objects.local.open(object)!;
    await objects.cleanUp();
    expect(objects.local.find(object)).toBeUndefined();
    expect(readFileSync(opened.fd, 'utf8')).toBe(text(1));
    closeSync(opened.fd);
  });

  test('removes what killed clients left, and nothing of living ones', async () => {
    await using scene = new Scene();
    const server = await scene.serve();
    const { objects } = await scene.client([server.url], { cacheLimit: 1 });
    const clients = scene.path('cache/clients');
    const living = readdirSync(clients);
    mkdirSync(join(clients, 'dead'));
    writeFileSync(join(clients, 'dead/lock'), '');
    writeFileSync(join(clients, 'dead/1.part'), 'half of a');
    mkdirSync(join(clients, 'just-begun'));
    await objects.cleanUp();
    expect(readdirSync(clients).sort()).toEqual([...living, 'just-begun'].sort());
  });
});

test('a client leaves nothing in the cache directory but objects', async () => {
  await using scene = new Scene();
  const object = objectOf(scene.published, 'hello');
  const server = await scene.serve();
  const client = await scene.client([server.url]);
  await client.objects.fetch(object);
  await failure(() => client.objects.fetch({ ...object, size: 4 }));
  await client[Symbol.asyncDispose]();
  expect(readdirSync(scene.path('cache/clients'))).toEqual([]);
  expect(statSync(scene.path('cache/objects')).mode & 0o777).toBe(0o700);
});

test.skipIf(process.getuid?.() !== 0)(
  'a full file system is cleaned up, and said to be full where that does not help (needs root)',
  async () => {
    await using scene = new Scene();
    const files = Array.from({ length: 30 }, (_, index) => scene.published.add(randomBytes(100_000 + index)));
    const objects = files.map((hash, index): ObjectReference => ({
      kind: 'file',
      hash,
      compression: 'zlib',
      size: 100_000 + index,
    }));
    const large: ObjectReference = {
      ...objects[0]!,
      hash: scene.published.add(randomBytes(2_000_000)),
      size: 2_000_000,
    };
    const server = await scene.serve();
    mkdirSync(scene.path('cache'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'cvmfs-test', scene.path('cache')]);
    try {
      await using client = await Repository.open({ configuration: scene.configuration([server.url]) });
      for (const object of objects) expect((await client.objects.fetch(object)).size).toBe(object.size);
      expect((await failure(() => client.objects.fetch(large))).code).toBe('ERR_NO_SPACE');
      expect((await client.objects.fetch(objects[0]!)).size).toBe(100_000);
    } finally {
      execFileSync('umount', [scene.path('cache')]);
    }
  },
);

test('what somebody waits for goes before what is only expected, also when it was expected first', async () => {
  await using scene = new Scene();
  const objects = Array.from({ length: 6 }, (_, index) => objectOf(scene.published, `object ${index}`));
  const held: (() => void)[] = [];
  const server = await scene.serve({
    intercept: (path, response) => {
      held.push(() => response.end(scene.published.read(path)));
      return true;
    },
  });
  const client = await scene.client([server.url], { network: { concurrency: 1 } });
  const expected = objects.slice(0, 5).map((object) => client.objects.fetch(object, { urgency: 'prefetch' }));
  await expect.poll(() => held.length).toBe(1);
  const wanted = [objects[5]!, objects[4]!].map((object) => client.objects.fetch(object));
  for (let answered = 0; answered < objects.length; answered += 1) {
    await expect.poll(() => held.length).toBe(answered + 1);
    held[answered]!();
  }
  await Promise.all([...expected, ...wanted]);
  const order = [0, 4, 5, 1, 2, 3].map((index) => objectPath(objects[index]!));
  expect([server.requests[0], ...server.requests.slice(1, 3).sort(), ...server.requests.slice(3)]).toEqual([
    order[0],
    ...order.slice(1, 3).sort(),
    ...order.slice(3),
  ]);
});
