import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Logger } from '@layerstore/core';
import { fixtureKey } from '../testing/fixture.js';
import { TemporaryDirectory } from '../testing/temporary.js';
import { parseParameters } from './parameter-file.js';
import { readConfiguration } from './read-configuration.js';

function written(
  directory: TemporaryDirectory,
  files: Readonly<Record<string, string>>,
): { directory: string; file: string } {
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return { directory: join(directory.path, 'cvmfs'), file: join(directory.path, 'layerstore.json') };
}

function parsed(text: string): Record<string, string> {
  const parameters = new Map<string, string>();
  parseParameters(text, parameters);
  return Object.fromEntries(parameters);
}

describe('a file of the standard client', () => {
  test('is read with quotes, comments, exports and references', () => {
    const text = [
      '# a comment',
      'CVMFS_BASE=/srv/a # of ours',
      'export CVMFS_CACHE_BASE="${CVMFS_BASE}/cache"',
      "readonly PLAIN='$NOT expanded'",
      'CVMFS_HTTP_PROXY="http://a:3128|http://b:3128;DIRECT"',
      'JOINED=a"b"\'c\'',
      'EMPTY=',
    ].join('\n');
    expect(parsed(text)).toEqual({
      CVMFS_BASE: '/srv/a',
      CVMFS_CACHE_BASE: '/srv/a/cache',
      PLAIN: '$NOT expanded',
      CVMFS_HTTP_PROXY: 'http://a:3128|http://b:3128;DIRECT',
      JOINED: 'abc',
      EMPTY: '',
    });
  });

  test.each([
    ['a command substitution', 'KEY=$(touch /tmp/owned)'],
    ['one in quotes', 'KEY="$(touch /tmp/owned)"'],
    ['backticks', 'KEY=`id`'],
    ['an expansion with a command', 'KEY="${A:-`id`}"'],
    ['a second command', 'KEY=a; rm -rf /'],
    ['a condition', 'if [ -f /x ]; then'],
    ['an unfinished quote', 'KEY="abc'],
  ])('is never run: %s is passed over and told', (_, line) => {
    const parameters = new Map<string, string>();
    expect(parseParameters(`A=1\n${line}\n`, parameters)).toEqual([{ line: 2, text: line }]);
    expect(Object.fromEntries(parameters)).toEqual({ A: '1' });
  });
});

test('settings come from default.conf, default.d, default.local, domain.d and config.d, the last one wins', () => {
  using temporary = new TemporaryDirectory();
  const sources = written(temporary, {
    'cvmfs/default.conf': 'CVMFS_TIMEOUT=1\nCVMFS_TIMEOUT_DIRECT=2\nCVMFS_MAX_RETRIES=3\n',
    'cvmfs/default.d/50-site.conf': 'CVMFS_TIMEOUT=4\nCVMFS_QUOTA_LIMIT=10\n',
    'cvmfs/default.local': 'CVMFS_HTTP_PROXY="http://p1:1|http://p2:2;DIRECT"\nCVMFS_CACHE_BASE=/srv/cache\n',
    'cvmfs/domain.d/example.org.conf':
      'CVMFS_SERVER_URL="http://one/cvmfs/@fqrn@;http://two/@org@"\nCVMFS_KEYS_DIR=/nowhere\n',
    'cvmfs/config.d/sw.example.org.conf': `CVMFS_PUBLIC_KEY=${temporary.path}/cvmfs/keys/a.pub\n`,
    'cvmfs/config.d/sw.example.org.local': 'CVMFS_TIMEOUT=9\nCVMFS_REPOSITORY_TAG=stable\n',
    'cvmfs/keys/a.pub': fixtureKey,
    'cvmfs/blacklist': '<sw.example.org 7\n',
  });
  expect(readConfiguration('sw.example.org', sources)).toEqual({
    name: 'sw.example.org',
    servers: ['http://one/cvmfs/sw.example.org', 'http://two/sw'],
    proxies: [['http://p1:1', 'http://p2:2'], ['DIRECT']],
    masterKeys: [fixtureKey],
    cacheDirectory: '/srv/cache/layerstore',
    cacheLimit: 10 * 1024 * 1024,
    network: { timeout: 9000, directTimeout: 2000, retries: 3 },
    blacklist: '<sw.example.org 7\n',
    revision: { kind: 'tag', tag: 'stable' },
  });
});

test('keys of the domain are used where none is named', () => {
  using temporary = new TemporaryDirectory();
  const sources = written(temporary, { 'cvmfs/keys/example.org/a.pub': 'A', 'cvmfs/keys/example.org/b.pub': 'B' });
  expect(readConfiguration('sw.example.org', sources).masterKeys).toEqual(['A', 'B']);
  expect(readConfiguration('sw.other.org', sources).masterKeys).toEqual([]);
});

test('our own file counts before /etc/cvmfs', () => {
  using temporary = new TemporaryDirectory();
  const sources = written(temporary, {
    'cvmfs/default.local': 'CVMFS_SERVER_URL=http://one/@fqrn@\nCVMFS_TIMEOUT=1\nCVMFS_QUOTA_LIMIT=10\n',
    'layerstore.json': JSON.stringify({
      defaults: { cacheLimit: null, network: { retries: 5 } },
      repositories: { 'sw.example.org': { servers: ['http://mine/sw'], keys: ['mine.pub'], expiredOffline: 'accept' } },
    }),
    'mine.pub': 'MINE',
  });
  const configuration = readConfiguration('sw.example.org', sources);
  expect(configuration).toMatchObject({
    servers: ['http://mine/sw'],
    masterKeys: ['MINE'],
    expiredOffline: 'accept',
    network: { timeout: 1000, retries: 5 },
  });
  expect(configuration.cacheLimit).toBeUndefined();
});

test.each([
  ['a name that leads elsewhere', '../../etc/shadow', {}, 'ERR_INVALID_ARGUMENT'],
  [
    'a setting that is none',
    'sw.example.org',
    { 'layerstore.json': '{"defaults":{"server":["x"]}}' },
    'ERR_INVALID_ARGUMENT',
  ],
  ['text that is no JSON', 'sw.example.org', { 'layerstore.json': 'server = x' }, 'ERR_INVALID_ARGUMENT'],
  [
    'a time that is no number',
    'sw.example.org',
    { 'cvmfs/default.conf': 'CVMFS_TIMEOUT=soon' },
    'ERR_INVALID_ARGUMENT',
  ],
  [
    'a key that is not there',
    'sw.example.org',
    { 'cvmfs/default.conf': 'CVMFS_PUBLIC_KEY=/no/such.pub' },
    'ERR_NOT_FOUND',
  ],
])('%s is refused', (_, name, files, code) => {
  using temporary = new TemporaryDirectory();
  const sources = written(temporary, files);
  expect(() => readConfiguration(name, sources)).toThrow(expect.objectContaining({ code }));
});

test('lines that are passed over are logged with file and line', () => {
  using temporary = new TemporaryDirectory();
  const told: unknown[] = [];
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    error: () => undefined,
    warn: (fields: unknown) => told.push(fields),
  };
  const sources = written(temporary, { 'cvmfs/default.conf': 'A=1\n. /etc/other\n' });
  readConfiguration('sw.example.org', { ...sources, logger: logger as unknown as Logger });
  expect(told).toEqual([{ path: `${sources.directory}/default.conf`, line: 2, ignored: '. /etc/other' }]);
});
