/** `layerstore cvmfs mount` and `unmount` on the repository that the standard tools made. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandLine, type Ended } from './support/command.js';
import { CvmfsFixture } from './support/cvmfs-fixture.js';
import { isRoot, Scratch } from './support/scratch.js';

const name = CvmfsFixture.repository;

describe.skipIf(!isRoot)('cvmfs mount (needs root)', () => {
  let scratch: Scratch;
  let server: CvmfsFixture;
  let layerstore: CommandLine;

  beforeEach(async () => {
    scratch = new Scratch('cvmfs-mount');
    server = await CvmfsFixture.serve(scratch.path);
    layerstore = new CommandLine(scratch.file('no-root'));
  });
  afterEach(async () => {
    scratch[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const options = (): string[] => [
    ...['--server', server.url, '--key', CvmfsFixture.keyFile, '--cache', scratch.file('cache')],
    ...['--config', scratch.file('no-configuration'), '--runtime-dir', scratch.file('run')],
  ];
  const mount = (directory: string, ...args: readonly string[]): Promise<Ended> =>
    layerstore.runBeside(['cvmfs', 'mount', ...options(), ...args, name, scratch.file(directory)]);
  const unmount = (...directories: readonly string[]): Promise<Ended> =>
    layerstore.runBeside(['cvmfs', 'unmount', ...directories.map((directory) => scratch.file(directory))]);

  /** Waits until no process works in the runtime directory: its socket has gone, and nothing holds the cache. */
  async function ended(): Promise<void> {
    const clients = scratch.file('cache', 'clients');
    while (readdirSync(clients).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  test('shows a revision until it is unmounted, and leaves the directory and no process', async () => {
    mkdirSync(scratch.file('view'));
    expect(await mount('view', '--tag', 'first')).toMatchObject({ code: 0, stdout: `${scratch.file('view')}\n` });
    const expected = CvmfsFixture.expected('manifest-first.json').filter(({ path }) => path?.lastIndexOf('/') === 0);
    const shown = (await readdir(scratch.file('view'))).map((entry) => `/${entry}`);
    expect(shown.sort()).toEqual(
      expected
        .map(({ path }) => path!)
        .filter((path) => path !== '/')
        .sort(),
    );
    expect(await unmount('view')).toMatchObject({ code: 0, stdout: `${scratch.file('view')}\n` });
    expect(readdirSync(scratch.file('view'))).toEqual([]);
    await ended();
  });

  test('--json tells which revision it is', async () => {
    const { stdout } = await mount('view', '--json');
    expect(JSON.parse(stdout)).toEqual({
      repository: name,
      rootHash: 'bf2207f01f4a0d5fc90ce53e900d588eb8ea2a86',
      revision: 4,
      path: scratch.file('view'),
    });
    await unmount('view');
    await ended();
  });

  test('serves several directories by one server, and refuses one that is in use', async () => {
    for (const directory of ['one', 'two']) expect((await mount(directory)).code).toBe(0);
    const again = await mount('one');
    expect(again).toMatchObject({ code: 1 });
    expect(again.stderr).toContain('something is mounted there');
    expect(readdirSync(join(scratch.file('run'), 'cvmfs'))).toHaveLength(1);
    expect((await unmount('one')).code).toBe(0);
    const [file] = CvmfsFixture.expected('manifest.json').filter(({ type, size }) => type === 'file' && size > 0);
    expect((await readFile(join(scratch.file('two'), file!.path!))).length).toBe(file!.size);
    expect((await unmount('two')).code).toBe(0);
    await ended();
    rmdirSync(scratch.file('one'));
  });

  test('--foreground unmounts when it is stopped', async () => {
    const child = layerstore.start(['cvmfs', 'mount', ...options(), '--foreground', name, scratch.file('view')]);
    await once(child.stdout, 'data');
    expect((await readdir(scratch.file('view'))).length).toBeGreaterThan(0);
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0]).toBe(0);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${scratch.file('view')} `);
    await ended();
  });

  test('refuses what is no mount of a repository, and what it cannot reach, in words', async () => {
    writeFileSync(scratch.file('file'), '');
    expect((await unmount('file')).stderr).toContain('no repository is mounted there');
    const parameters = options();
    await server[Symbol.asyncDispose]();
    const failed = await layerstore.runBeside(['cvmfs', 'mount', ...parameters, name, scratch.file('view')]);
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toContain('no server can be reached');
    expect(existsSync(scratch.file('view'))).toBe(false);
    await ended();
    server = await CvmfsFixture.serve(scratch.path);
  });
});
