import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fingerprintOf, formatFingerprint } from './format/fingerprint.js';
import { objectPath } from './format/object-reference.js';
import { failure } from './testing/failure.js';
import { MasterKey, PublisherCertificate } from './testing/publisher-keys.js';
import { Scene } from './testing/scene.js';
import {
  certificate,
  directoryRow,
  type TestCatalog,
  type TestRepository,
  type TestRow,
} from './testing/test-repository.js';
import { settled } from './testing/walk.js';

const root = directoryRow('');
const file: TestRow = { path: '/a', hash: { algorithm: 'sha1', hex: '1'.repeat(40) } };

/** What a client says of a repository when it looks for the newest revision. */
async function refusal(
  write: (repository: TestRepository) => void,
  blacklist = '',
): Promise<{ code: string; message: string }> {
  await using scene = new Scene();
  scene.published.publish({ rows: [root] });
  write(scene.published);
  const server = await scene.serve();
  const repository = await scene.client([server.url], { blacklist });
  return await failure(() => repository.revision());
}

describe('a repository is refused', () => {
  test('with a whitelist that none of the master keys signed', async () => {
    expect(await refusal((repository) => repository.whitelist({}, new MasterKey()))).toMatchObject({
      code: 'ERR_REPOSITORY_UNTRUSTED',
      message: expect.stringContaining('none of the master keys') as string,
    });
  });

  test('with a whitelist that has expired', async () => {
    const write = (repository: TestRepository): void =>
      repository.whitelist({ expiresAt: new Date('2026-01-02T00:00:00Z') });
    expect(await refusal(write)).toMatchObject({
      code: 'ERR_REPOSITORY_UNTRUSTED',
      message: expect.stringContaining('expired') as string,
    });
  });

  test('with a whitelist or manifest of another repository', async () => {
    expect((await refusal((repository) => repository.whitelist({ name: 'other.example.org' }))).code).toBe(
      'ERR_REPOSITORY_UNTRUSTED',
    );
    const write = (repository: TestRepository): void =>
      repository.manifest(repository.addCatalog({ rows: [root] }), { name: 'other.example.org' });
    expect((await refusal(write)).code).toBe('ERR_REPOSITORY_UNTRUSTED');
  });

  test('with a certificate that the whitelist does not name', async () => {
    const other = new PublisherCertificate();
    const write = (repository: TestRepository): void =>
      repository.manifest(
        repository.addCatalog({ rows: [root] }),
        { certificate: repository.add(other.pem, 'certificate') },
        other,
      );
    expect(await refusal(write)).toMatchObject({
      code: 'ERR_REPOSITORY_UNTRUSTED',
      message: expect.stringContaining('not on the whitelist') as string,
    });
  });

  test('with a signature of somebody else under the name of a listed certificate', async () => {
    const other = new PublisherCertificate();
    const write = (repository: TestRepository): void =>
      repository.manifest(repository.addCatalog({ rows: [root] }), {}, other);
    expect((await refusal(write)).message).toContain('wrong signature');
  });

  test('with a certificate or a revision that is blacklisted', async () => {
    const fingerprint = formatFingerprint(fingerprintOf(new X509Certificate(certificate.pem), 'rmd160'));
    expect((await refusal(() => undefined, `# old\n${fingerprint} # lost key\n`)).code).toBe(
      'ERR_REPOSITORY_UNTRUSTED',
    );
    expect((await refusal(() => undefined, '<test.example.org 2\n')).code).toBe('ERR_REPOSITORY_ROLLED_BACK');
  });

  test.each([
    [
      'text that was changed after it was signed',
      (text: Buffer) => Buffer.from(text.toString('latin1').replace('S1\n', 'S9\n'), 'latin1'),
    ],
    ['a manifest cut off', (text: Buffer) => text.subarray(0, 60)],
    ['an empty manifest', () => Buffer.alloc(0)],
    ['a signature cut off', (text: Buffer) => text.subarray(0, -10)],
    ['a manifest without end', () => Buffer.alloc(200_000, 'C')],
  ])('with %s', async (_, change) => {
    const write = (repository: TestRepository): void =>
      repository.write('.cvmfspublished', change(repository.read('.cvmfspublished')));
    expect((await refusal(write)).code).toMatch(/^ERR_(MALFORMED_REPOSITORY|REPOSITORY_UNTRUSTED|LIMIT_EXCEEDED)$/);
  });
});

test('a revision older than one that was seen is refused, and the cached one stays', async () => {
  await using scene = new Scene();
  const old: TestCatalog = { rows: [root, directoryRow('/old')] };
  scene.published.publish({ rows: [root, directoryRow('/new')] }, { revision: 5 });
  const server = await scene.serve();
  await using first = await scene.client([server.url]);
  using seen = await first.revision();
  scene.published.publish(old, { revision: 4 });
  using again = await (await scene.client([server.url])).revision();
  expect(again.record).toEqual(seen.record);
  expect((await first.refresh()).origin).toBe('cache');
});

test('a revision below what was seen is an error when the cached one cannot be used any more', async () => {
  await using scene = new Scene();
  scene.published.publish({ rows: [root] }, { revision: 5 });
  const server = await scene.serve();
  await (await scene.client([server.url])).refresh();
  scene.published.publish({ rows: [root] }, { revision: 4 });
  const clock = (): number => Date.parse('2066-06-01T00:00:00Z');
  scene.published.whitelist({ expiresAt: new Date('2070-01-01T00:00:00Z') });
  const late = await scene.client([server.url], {}, { clock });
  expect((await failure(() => late.refresh())).code).toBe('ERR_REPOSITORY_ROLLED_BACK');
});

test('a blacklist that names other repositories and certificates hinders nobody', async () => {
  await using scene = new Scene();
  scene.published.publish({ rows: [root] }, { revision: 3 });
  const server = await scene.serve();
  const blacklist = `<other.example.org 9\n<test.example.org 3\n${'00:'.repeat(19)}00\n`;
  const repository = await scene.client([server.url], { blacklist });
  expect((await repository.refresh()).manifest.revision).toBe(3);
});

describe('an object is refused', () => {
  const content = 'content '.repeat(1000);

  async function fetched(change: (stored: Buffer) => Buffer): Promise<{ code: string; cause?: unknown }> {
    await using scene = new Scene();
    const row = scene.published.file('/a', content);
    scene.published.publish({ rows: [root, row] });
    const path = objectPath({ hash: row.hash!, kind: 'file' });
    scene.published.write(path, change(scene.published.read(path)));
    const server = await scene.serve();
    const repository = await scene.client([server.url]);
    using revision = await repository.revision();
    const entry = (await settled(revision, () => revision.lookup('/a')))!;
    return await failure(() => repository.objects.fetch(entry.object!));
  }

  test.each([
    [
      'with a changed byte',
      (stored: Buffer) => Buffer.concat([stored.subarray(0, -1), Buffer.from([stored.at(-1)! ^ 1])]),
    ],
    ['that is cut off', (stored: Buffer) => stored.subarray(0, -5)],
    ['that is empty', () => Buffer.alloc(0)],
    ['that is another', () => Buffer.from('something else')],
  ])('%s', async (_, change) => {
    expect(await fetched(change)).toMatchObject({
      code: 'ERR_OBJECT_UNAVAILABLE',
      cause: { code: 'ERR_DIGEST_MISMATCH' },
    });
  });

  test('with more bytes than it can have, before they are all there', async () => {
    expect(await fetched((stored) => Buffer.concat([stored, Buffer.alloc(1_000_000)]))).toMatchObject({
      code: 'ERR_OBJECT_UNAVAILABLE',
      cause: { code: 'ERR_LIMIT_EXCEEDED' },
    });
  });
});

test.each([
  ['small', 1000],
  ['large', 3_000_000],
])('an endless body is given up: of an object that is %s', async (_, size) => {
  await using scene = new Scene();
  const row: TestRow = { ...file, size };
  scene.published.publish({ rows: [root, row] });
  let sent = 0;
  const server = await scene.serve({
    intercept: (path, response) => {
      if (!path.includes('1111')) return false;
      const chunk = Buffer.alloc(65_536, 7);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.on('drain', more).on('error', () => undefined);
      more();
      return true;
    },
  });
  const repository = await scene.client([server.url]);
  using revision = await repository.revision();
  const entry = (await settled(revision, () => revision.lookup('/a')))!;
  expect((await failure(() => repository.objects.fetch(entry.object!))).code).toBe('ERR_OBJECT_UNAVAILABLE');
  expect(sent).toBeLessThan(40_000_000);
});

test.each([
  ['small', 10],
  ['large', 2_000_000],
])('a size that the content does not have is told as such: a %s file', async (_, size) => {
  await using scene = new Scene();
  const stored = Buffer.alloc(size + 1, 'x');
  const row: TestRow = { path: '/a', size, hash: scene.published.add(stored, 'file', 'none') };
  const longer: TestRow = {
    path: '/b',
    size: size + 2,
    hash: scene.published.add(stored, 'file', 'none'),
    flags: 4 | (1 << 11),
  };
  scene.published.publish({ rows: [root, { ...row, flags: 4 | (1 << 11) }, longer] });
  const server = await scene.serve();
  const repository = await scene.client([server.url]);
  using revision = await repository.revision();
  const codes: string[] = [];
  for (const path of ['/a', '/b']) {
    const entry = (await settled(revision, () => revision.lookup(path)))!;
    codes.push((await failure(() => repository.objects.fetch(entry.object!))).code);
  }
  expect(codes[0]).toMatch(/^ERR_(SIZE_MISMATCH|OBJECT_UNAVAILABLE)$/);
  expect(codes[1]).toBe('ERR_SIZE_MISMATCH');
});

test('a bomb is not inflated beyond the size that its catalog says', async () => {
  await using scene = new Scene();
  const bomb = scene.published.add(Buffer.alloc(300_000_000));
  scene.published.publish({ rows: [root, { path: '/a', size: 5_000_000, hash: bomb }] });
  const server = await scene.serve();
  const repository = await scene.client([server.url], { limits: { objectSize: 10_000_000 } });
  using revision = await repository.revision();
  const entry = (await settled(revision, () => revision.lookup('/a')))!;
  expect((await failure(() => repository.objects.fetch(entry.object!))).code).toBe('ERR_SIZE_MISMATCH');
});
