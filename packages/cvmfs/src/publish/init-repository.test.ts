import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Repository } from '../repository/repository.js';
import { openPublished, sqlite3 } from '../testing/published.js';
import { RepositoryServer } from '../testing/repository-server.js';
import { TemporaryDirectory } from '../testing/temporary.js';
import { walk } from '../testing/walk.js';
import { initRepository } from './init-repository.js';
import { PublisherKeys } from './publisher-keys.js';
import { renewWhitelist } from './renew-whitelist.js';

const name = 'images.example.org';
let temporary: TemporaryDirectory;
let directory: string;
let keysDirectory: string;

beforeEach(() => {
  temporary = new TemporaryDirectory();
  directory = join(temporary.path, name);
  keysDirectory = join(temporary.path, 'keys');
});
afterEach(() => temporary[Symbol.dispose]());

test('a new repository is trusted by a client that has its public master key, and is empty', async () => {
  const keys = await initRepository({ name, directory, keys: keysDirectory });
  await using published = await openPublished(directory, keys);
  using revision = await published.repository.revision();
  const paths: string[] = [];
  for await (const { path } of walk(revision)) paths.push(path.toString());
  expect(paths).toEqual(['']);
  expect(revision.record.revision).toBe(1);
  expect((await published.repository.tags()).map((tag) => [tag.name, tag.revision])).toEqual([['trunk', 1]]);
});

test('private keys are for their owner only, and openssl takes the certificate for one that its key signed', async () => {
  await initRepository({ name, directory, keys: keysDirectory });
  const mode = (kind: string): number => statSync(join(keysDirectory, `${name}.${kind}`)).mode & 0o777;
  expect([mode('masterkey'), mode('key'), mode('pub'), mode('crt')]).toEqual([0o600, 0o600, 0o644, 0o644]);
  const certificate = join(keysDirectory, `${name}.crt`);
  expect(execFileSync('openssl', ['verify', '-CAfile', certificate, certificate], { encoding: 'utf8' })).toContain(
    'OK',
  );
});

test('sqlite3 reads a catalog with all 24 counters, pages of 1024 bytes and sound indexes', async () => {
  await initRepository({ name, directory, keys: keysDirectory });
  const catalog = sqlite3.rootCatalog(directory);
  expect(sqlite3.ask(catalog, 'PRAGMA integrity_check; PRAGMA page_size')).toBe('ok\n1024');
  expect(sqlite3.ask(catalog, 'SELECT count(*) FROM statistics')).toBe('24');
  expect(sqlite3.ask(catalog, 'SELECT counter FROM statistics WHERE value <> 0')).toBe('self_dir');
  expect(sqlite3.ask(catalog, "SELECT key || '=' || value FROM properties WHERE key LIKE 'schema%' ORDER BY key")).toBe(
    'schema=2.5\nschema_revision=7',
  );
});

test('keys and repositories are never overwritten', async () => {
  await initRepository({ name, directory, keys: keysDirectory });
  const key = readFileSync(join(keysDirectory, `${name}.key`));
  await expect(initRepository({ name, directory, keys: join(temporary.path, 'others') })).rejects.toMatchObject({
    code: 'ERR_EXISTS',
  });
  await expect(
    initRepository({ name, directory: join(temporary.path, 'other'), keys: keysDirectory }),
  ).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  expect(readFileSync(join(keysDirectory, `${name}.key`))).toEqual(key);
});

test('keys are not put where clients could fetch them, and names are checked', async () => {
  await expect(initRepository({ name, directory, keys: join(directory, 'keys') })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  });
  await expect(initRepository({ name: '../x', directory, keys: keysDirectory })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  });
});

test('an expired whitelist is refused by clients until it is signed anew', async () => {
  const past = Date.now() - 40 * 86_400_000;
  const keys = await initRepository({ name, directory, keys: keysDirectory, now: past });
  await using server = await RepositoryServer.start(directory, name);
  const configuration = {
    name,
    servers: [server.url],
    masterKeys: [keys.publicMasterKey],
    cacheDirectory: join(temporary.path, 'cache'),
  };
  const revisionSeen = async (): Promise<number | undefined> => {
    await using repository = await Repository.open({ configuration });
    using revision = await repository.revision();
    return revision.record.revision;
  };
  await expect(revisionSeen()).rejects.toMatchObject({ code: 'ERR_REPOSITORY_UNTRUSTED' });
  renewWhitelist(directory, keys);
  expect(await revisionSeen()).toBe(1);
  expect(() => renewWhitelist(directory, keys, 0)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
});

test('a key that is missing, damaged or of another certificate is told by its path', async () => {
  await initRepository({ name, directory, keys: keysDirectory });
  expect(() => new PublisherKeys(temporary.path, name).signingKey).toThrow(
    expect.objectContaining({ code: 'ERR_NOT_FOUND' }),
  );
  const mixed = join(temporary.path, 'mixed');
  mkdirSync(mixed);
  writeFileSync(join(mixed, `${name}.crt`), readFileSync(join(keysDirectory, `${name}.crt`)));
  writeFileSync(join(mixed, `${name}.key`), readFileSync(join(keysDirectory, `${name}.masterkey`)));
  writeFileSync(join(mixed, `${name}.masterkey`), 'nonsense');
  const keys = new PublisherKeys(mixed, name);
  expect(() => keys.signingKey).toThrow(/not the one of the certificate/);
  expect(() => keys.masterKey).toThrow(/not a private key/);
});
