/** Thin images in a root, by the command line, from a repository that comes over HTTP. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine } from './support/command.js';
import { CvmfsFixture } from './support/cvmfs-fixture.js';
import { makeDockerArchive, sha256, type TestImage } from './support/image.js';
import { isRoot, mountsBelow, Scratch } from './support/scratch.js';
import { ingestedLayer, makeThinImage, thinLayer, ThrottledRepository } from './support/thin-image.js';

const large = CvmfsFixture.expected('manifest.json').find(({ path }) => path === `/${ingestedLayer}/usr/large`)?.sha256;

describe.skipIf(!isRoot).each(['overlay2', 'aufs'])('thin images in a root with %s (needs root)', (driver) => {
  let scratch: Scratch;
  let repository: ThrottledRepository;
  let layerstore: CommandLine;
  let image: TestImage;
  let options: string[];

  beforeAll(async () => {
    scratch = new Scratch('thin', '/dev/shm');
    repository = await ThrottledRepository.serve(scratch.file('repository'));
    layerstore = new CommandLine(scratch.file('root'));
    options = [...repository.options('cache'), '--driver', driver];
    image = makeThinImage(scratch.file('image'), 'thin:1');
    run('load', '-i', image.path);
  });
  afterAll(async () => {
    expect(mountsBelow(scratch.file('root'))).toEqual([]);
    scratch[Symbol.dispose]();
    await repository[Symbol.asyncDispose]();
  });

  const run = (...args: readonly string[]): string => layerstore.succeed(...options, ...args);
  const failing = (...args: readonly string[]): string => {
    const ended = layerstore.run(...options, ...args);
    expect(ended.code).toBe(1);
    return ended.stderr;
  };
  const uses = (): string[] => {
    const path = scratch.file('root', 'home', '.layerstore', 'thin', 'uses');
    return existsSync(path) ? readdirSync(path) : [];
  };

  test('a container shows the files of the repository, and what the layer deleted stays deleted', () => {
    const script = 'ls /etc /opq; sha256sum /usr/large; ls /';
    const [listed = '', ...rest] = run('run', 'thin:1', '--', 'sh', '-c', script).split('\n\n');
    expect(listed.split('\n')).toContain('stays');
    expect(listed).not.toMatch(/removed|\.wh\./);
    expect(rest.join()).toMatch(/^\/opq:\nkept\n/);
    expect(rest.join()).toContain(large);
    expect(rest.join()).not.toContain('thin.json');
    expect(uses()).toEqual([]);
  });

  test('changes are those over the repository, and a commit makes an ordinary layer', () => {
    run('create', 'thin:1', '--name', 'box');
    run('run', 'box', '--', 'sh', '-c', 'rm /usr/share/one; echo new > /usr/share/new; rm -r /opq');
    const changed = ['D /opq', 'C /usr', 'C /usr/share', 'A /usr/share/new', 'D /usr/share/one'];
    expect(run('diff', 'box').trim().split('\n').sort()).toEqual(changed.sort());
    run('commit', 'box', 'changed:1');
    expect(run('run', 'changed:1', '--', 'sh', '-c', 'ls /usr/share; ls /opq || true')).toBe('new\nuno\n');
    expect(run('diff', 'box').trim().split('\n').sort()).toEqual(changed.sort());
    expect(uses()).toEqual([]);
  });

  test('a mounted container keeps its revision until it is unmounted', () => {
    const path = run('mount', 'box').trim();
    expect(uses()).toHaveLength(1);
    expect(readdirSync(join(path, 'usr/share'))).toEqual(['new', 'uno']);
    expect(sha256(readFileSync(join(path, 'usr/large')))).toBe(large);
    expect(run('diff', 'box')).toContain('A /usr/share/new');
    run('unmount', 'box');
    expect(uses()).toEqual([]);
    run('rm', 'box');
  });

  test('saving gives the thin layer as it came, byte by byte', () => {
    const archive = scratch.file('saved.tar');
    run('save', 'thin:1', '-o', archive, '--format', 'docker-archive');
    const tree = scratch.file('saved');
    mkdirSync(tree);
    execFileSync('tar', ['-C', tree, '-xf', archive]);
    const [{ Layers }] = JSON.parse(readFileSync(join(tree, 'manifest.json'), 'utf8')) as [{ Layers: string[] }];
    expect(Layers.map((name) => `sha256:${sha256(readFileSync(join(tree, name)))}`)).toEqual(image.diffIds);
  });

  test('a check finds the root sound, with every layer verified; prune takes what nobody needs', () => {
    expect(layerstore.run(...options, 'check', '--verify')).toMatchObject({ code: 0 });
    run('rmi', 'changed:1');
    run('prune');
    expect(layerstore.run(...options, 'check')).toMatchObject({ code: 0 });
  });

  test('ordinary images live beside them, and are loaded while no server answers', () => {
    repository.cut();
    try {
      const plain = makeDockerArchive(scratch.file('plain'), [(directory) => mkdirSync(join(directory, 'srv'))], {
        reference: 'plain:1',
      });
      run('load', '-i', plain.path);
      run('create', 'plain:1', '--name', 'plain');
      expect(readdirSync(run('mount', 'plain').trim())).toEqual(['srv']);
      run('unmount', 'plain');
    } finally {
      repository.slow(0);
    }
  });

  test.each([
    ['of an unknown version', { version: '3.1', layers: [] }, 'thin.json has version 3.1'],
    ['with a way out of the repository', badUrl('../../../etc'), 'leads out of the layer'],
    ['at a web address', { version: '1.0', layers: [{ digest: 'a'.repeat(64), url: 'http://x.org/y' }] }, 'cvmfs://'],
  ])('an image with a list %s is not loaded, and nothing of it is left', (_what, document, words) => {
    const bad = makeDockerArchive(scratch.file(`bad ${words.length}`), [
      (directory) =>
        execFileSync('sh', ['-c', 'cat > "$1/thin.json"', 'sh', directory], { input: JSON.stringify(document) }),
    ]);
    expect(failing('load', '-i', bad.path)).toContain(words);
    run('prune');
    expect(layerstore.run(...options, 'check')).toMatchObject({ code: 0 });
    expect(run('images')).not.toContain('test');
  });

  test('a recorded start is fetched ahead by the next, and its list goes with the image', async () => {
    const starts = scratch.file('root', 'home', '.layerstore', 'thin', 'starts');
    const recorded = layerstore.run(
      ...options,
      'thin',
      'record',
      'thin:1',
      '--',
      'sh',
      '-c',
      'cat /usr/large >/dev/null; exit 3',
    );
    expect(recorded).toMatchObject({ code: 3, stdout: '' });
    expect(recorded.stderr).toContain('recorded 1 file');
    const [list = ''] = readdirSync(starts);
    expect(JSON.parse(readFileSync(join(starts, list), 'utf8'))).toEqual({
      [CvmfsFixture.repository]: [`${ingestedLayer}/usr/large`],
    });

    // With an empty cache, nobody reads the file, and yet it comes.
    options = [...repository.options('second'), '--driver', driver];
    run('create', 'thin:1', '--name', 'ahead');
    const path = run('mount', 'ahead').trim();
    const cached = (): number =>
      readdirSync(scratch.file('repository', 'second', 'objects'), { recursive: true, withFileTypes: true }).filter(
        (entry) =>
          entry.isFile() &&
          statSync(join(entry.parentPath, entry.name)).size === statSync(join(path, 'usr/large')).size,
      ).length;
    await expect.poll(cached, { timeout: 20_000 }).toBe(1);
    repository.cut();
    expect(sha256(readFileSync(join(path, 'usr/large')))).toBe(large);
    repository.slow(0);
    run('unmount', 'ahead');
    run('rm', 'ahead');

    expect(failing('thin', 'record', 'thin:1-none', '--', 'true')).toContain('thin:1-none');
    run('rmi', 'thin:1');
    expect(readdirSync(starts)).toEqual([]);
    run('load', '-i', image.path);
  });

  test('what is mounted keeps its revision when the repository moves on, and is compared with that; the next has the new one', () => {
    const wide = makeDockerArchive(scratch.file('wide'), [thinLayer(['wide'])], { reference: 'wide:1' });
    const at = (tag: string): string[] => [...repository.options('pinned', tag), '--driver', driver];
    const command = (tag: string, ...args: readonly string[]): string => layerstore.succeed(...at(tag), ...args);
    const sizeIn = (path: string): number => statSync(join(path, 'e002')).size;
    command('second', 'load', '-i', wide.path);
    for (const name of ['old', 'new']) command('second', 'create', 'wide:1', '--name', name);
    const old = command('second', 'mount', 'old').trim();
    const next = command('third', 'mount', 'new').trim();
    expect([sizeIn(old), sizeIn(next)]).toEqual([2, 15]);
    expect(command('third', 'diff', 'old')).toBe('');
    expect(command('third', 'mount', 'old').trim()).toBe(old);
    expect(sizeIn(old)).toBe(2);
    for (const name of ['old', 'old', 'new']) command('third', 'unmount', name);
    expect(uses()).toEqual([]);
    expect(sizeIn(command('third', 'mount', 'old').trim())).toBe(15);
    command('third', 'unmount', 'old');
    for (const name of ['old', 'new']) command('third', 'rm', name);
  });

  test('without the options, thin images are ordinary ones', () => {
    const plain = layerstore.run('--driver', driver, 'run', 'thin:1', '--', 'ls', '/');
    expect(plain.stdout).toContain('thin.json');
  });
});

function badUrl(path: string): unknown {
  return {
    version: '1.0',
    layers: [{ digest: 'a'.repeat(64), url: `cvmfs://${CvmfsFixture.repository}/${path}` }],
  };
}
