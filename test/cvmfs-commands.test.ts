/** `layerstore cvmfs ...` on the repository that the standard tools made. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine, commandPath, type Ended } from './support/command.js';
import { CvmfsFixture, type ExpectedEntry } from './support/cvmfs-fixture.js';
import { Scratch } from './support/scratch.js';

const name = CvmfsFixture.repository;

let scratch: Scratch;
let server: CvmfsFixture;
let layerstore: CommandLine;

beforeAll(async () => {
  scratch = new Scratch('cvmfs-commands');
  server = await CvmfsFixture.serve(scratch.path);
  mkdirSync(scratch.file('etc/config.d'), { recursive: true });
  const lines = [
    `CVMFS_SERVER_URL="http://127.0.0.1:1/@fqrn@;${server.origin}/@fqrn@"`,
    `CVMFS_PUBLIC_KEY='${CvmfsFixture.keyFile}'`,
    `CVMFS_CACHE_BASE=${scratch.file('cache')}`,
  ];
  writeFileSync(scratch.file('etc/config.d', `${name}.conf`), lines.join('\n'));
  layerstore = new CommandLine(scratch.file('no-root'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const cvmfs = (...args: readonly string[]): Promise<Ended> =>
  layerstore.runBeside(['cvmfs', args[0] ?? '', '--config', scratch.file('etc'), ...args.slice(1)]);

describe('ls', () => {
  test('lists a directory by names, a file by its name, a tree by paths', async () => {
    expect((await cvmfs('ls', `${name}:/special`)).stdout).toBe('bigminor\nblk\nfifo\nnull\nsock\n');
    expect((await cvmfs('ls', `${name}:/special/fifo`)).stdout).toBe('fifo\n');
    const tree = (await cvmfs('ls', '-R', '--tag', 'first', name)).stdout.trimEnd().split('\n');
    expect(tree.length).toBe(CvmfsFixture.expected('manifest-first.json').length);
    expect(tree[0]).toBe('/');
  });

  test('shows what a name with bytes of no character set and with a newline is, and obeys none of it', async () => {
    const { stdout } = await cvmfs('ls', `${name}:/names`);
    expect(stdout).toMatch(/\\xff\\xfe-raw-\\x80/);
    expect(stdout).toContain('\\x0a');
  });

  test('-l has types, owners, devices and links', async () => {
    const { stdout } = await cvmfs('ls', '-l', `${name}:/special`);
    expect(stdout).toMatch(/^crw------- +1 +0 +0 +300, 70000 +2018-07-06 17:31:23 +bigminor$/m);
    expect((await cvmfs('ls', '-l', `${name}:/links`)).stdout).toContain('varlike -> $(');
  });

  test('--json has every entry of the manifest', async () => {
    const { stdout } = await cvmfs('ls', '-R', '--json', name);
    const shown = new Map(
      (JSON.parse(stdout) as (ExpectedEntry & { path: string })[]).map((entry) => [entry.path, entry]),
    );
    for (const { path, mode, size } of CvmfsFixture.expected('manifest.json')) {
      // The link with variables is shown expanded there.
      if (path !== undefined && path !== '/links/varlike') expect(shown.get(path)).toMatchObject({ mode, size });
    }
    expect(shown.size).toBe(CvmfsFixture.expected('manifest.json').length);
  });

  test('--tags lists the named revisions', async () => {
    const { stdout } = await cvmfs('ls', '--tags', '--json', name);
    expect(
      (JSON.parse(stdout) as { name: string; revision: number }[]).map((tag) => `${tag.name} ${tag.revision}`),
    ).toEqual(['fourth 4', 'trunk 4', 'third 3', 'trunk-previous 3', 'second 2', 'first 1']);
  });
});

describe('cat', () => {
  test('writes the bytes of files, of one object and of many', async () => {
    const files = CvmfsFixture.expected('manifest.json').filter(
      ({ type, path }) => type === 'file' && path !== undefined,
    );
    const largest = files.reduce((one, other) => (other.size > one.size ? other : one));
    const target = scratch.file('output');
    for (const { path = '', sha256 } of [files[0]!, largest]) {
      const script = `exec "$@" > ${target}`;
      const words = [process.execPath, commandPath, 'cvmfs', 'cat', '--config', scratch.file('etc'), `${name}:${path}`];
      const child = spawn('sh', ['-c', script, 'sh', ...words], { stdio: 'inherit' });
      expect(await once(child, 'close')).toEqual([0, null]);
      expect(createHash('sha256').update(readFileSync(target)).digest('hex')).toBe(sha256);
    }
  });

  test('--json tells the objects of a file', async () => {
    const path = CvmfsFixture.expected('manifest.json').find(({ type }) => type === 'file')?.path;
    const { stdout } = await cvmfs('cat', '--json', `${name}:${path}`);
    expect(JSON.parse(stdout)).toMatchObject([{ path, content: { kind: 'object', object: { compression: 'zlib' } } }]);
  });
});

describe('a wrong use is told with what would be right', () => {
  test.each([
    [['cat', name], 125, /no file is named\nhint: /],
    [['cat', `${name}:/special`], 125, /special: not a file/],
    [['ls', `${name}:/nowhere`], 1, /nowhere: no such file or directory in this revision\nhint: /],
    [['ls', `${name}:/a/../b`], 125, /not an absolute path inside a repository\nhint: /],
    [['ls', '--tag', 'x', name], 1, /it has no tag x\nhint: .*--tags/],
    [['ls', '--root-hash', 'x', name], 125, /--root-hash x: not a hash/],
    [['ls', 'other.example.org'], 1, /no server is known\nhint: .*config\.d/],
    [['ls', '../etc'], 125, /not the name of a repository\nhint: /],
    [['ls', '--key', '/nonexistent.pub', name], 1, /nonexistent\.pub/],
  ])('%j', async (args, code, message) => {
    const ended = await cvmfs(...args);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(message);
  });
});

test('when all servers are down, what is cached is there, and the warning says so', async () => {
  await cvmfs('ls', name);
  const { code, stdout, stderr } = await cvmfs('ls', '--server', 'http://127.0.0.1:1/x', `${name}:/special`);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'bigminor\nblk\nfifo\nnull\nsock\n' });
  expect(stderr).toContain('the cached revision is used');
});
