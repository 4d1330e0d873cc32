/** The programs in examples/, as a reader of the README runs them. */
import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerRegistry } from './support/docker-registry.js';
import { makeDockerArchive, type LayerContent, type TestImage } from './support/image.js';
import { need } from './support/programs.js';
import { isRoot, mountsBelow, Scratch } from './support/scratch.js';

const directory = fileURLToPath(new URL('../examples', import.meta.url));
const examples = readdirSync(directory).filter((name) => name.endsWith('.mjs'));

/** A shell and a few programs with their libraries. */
const shell: LayerContent = (tree) => {
  for (const name of ['sh', 'rm', 'cat']) {
    const program = execFileSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim();
    const libraries = spawnSync('ldd', [program], { encoding: 'utf8' }).stdout.match(/\/\S+/g) ?? [];
    copyFileSync(program, place(tree, `/bin/${name}`));
    for (const library of libraries) copyFileSync(library, place(tree, library));
  }
  writeFileSync(place(tree, '/etc/hostname'), 'example\n');
};

function place(tree: string, path: string): string {
  const target = join(tree, path);
  mkdirSync(dirname(target), { recursive: true });
  return target;
}

describe('examples', () => {
  it.each(examples)('%s says in its first lines what it shows and how it is run', (name) => {
    const [first = '', ...others] = readFileSync(join(directory, name), 'utf8').split('\n').slice(0, 6);
    expect(first).toMatch(/^\/\/ [A-Z]/);
    expect(others.join('\n')).toContain(`examples/${name}`);
  });

  it('fit the published types', () => {
    const program = ts.createProgram(
      examples.map((name) => join(directory, name)),
      {
        allowJs: true,
        checkJs: true,
        noEmit: true,
        strict: true,
        skipLibCheck: true,
        target: ts.ScriptTarget.ES2022,
        lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        types: ['node'],
        typeRoots: [fileURLToPath(new URL('../node_modules/@types', import.meta.url))],
      },
    );
    const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
      return `${file?.fileName ?? ''}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
    expect(problems).toEqual([]);
  });
});

describe.skipIf(!isRoot)('examples that mount (need root)', () => {
  let scratch: Scratch;
  let image: TestImage;

  beforeAll(() => {
    scratch = new Scratch('examples');
    image = makeDockerArchive(scratch.path, [shell], { reference: 'shell:latest', compression: 'gzip' });
  });
  afterAll(() => scratch[Symbol.dispose]());

  const run = (name: string, argv: readonly string[], options: readonly string[] = []): SpawnSyncReturns<string> => {
    const done = spawnSync(process.execPath, [...options, join(directory, name), ...argv], {
      encoding: 'utf8',
      env: { ...process.env, LAYERSTORE_ROOT: scratch.file('root'), NODE_OPTIONS: '' },
    });
    expect({ name, mounts: mountsBelow(scratch.path) }).toEqual({ name, mounts: [] });
    return done;
  };

  it('load-and-run prints what the command changed and ends with its code', () => {
    const done = run('load-and-run.mjs', [
      image.path,
      '/bin/sh',
      '-c',
      'echo new > /etc/new; rm /etc/hostname; exit 3',
    ]);
    expect(done).toMatchObject({ status: 3, stderr: '' });
    expect(done.stdout.split('\n')).toEqual(['modify /etc', 'delete /etc/hostname', 'add    /etc/new', '']);
  });

  it('agent-sandbox keeps the work of the task that succeeded and discards the other', () => {
    const done = run('agent-sandbox.mjs', [image.path, 'echo changed > /etc/hostname', 'rm /etc/hostname; exit 1']);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(done.stdout).toContain('echo changed > /etc/hostname: exit 0, kept as agent:task-1\n');
    expect(done.stdout).toContain('  modify /etc/hostname\n');
    expect(done.stdout).toContain('rm /etc/hostname; exit 1: exit 1, discarded\n');
    expect(done.stdout).toContain('  delete /etc/hostname\n');
  });

  it('build-image writes an archive with a layer for each step', () => {
    const tar = scratch.file('root.tar');
    execFileSync('tar', ['-C', scratch.file('layer-0'), '-cf', tar, '.']);
    const archive = scratch.file('built.tar');
    const done = run('build-image.mjs', [tar, archive, 'echo one > /one', 'echo two > /two']);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    const index = JSON.parse(execFileSync('tar', ['-xOf', archive, 'index.json'], { encoding: 'utf8' })) as {
      manifests: { digest: string }[];
    };
    const blob = `blobs/sha256/${index.manifests[0]?.digest.slice(7) ?? ''}`;
    const manifest = JSON.parse(execFileSync('tar', ['-xOf', archive, blob], { encoding: 'utf8' })) as {
      layers: unknown[];
    };
    expect(manifest.layers).toHaveLength(3);
    expect(done.stdout).toContain('echo two > /two\n');
  });

  it('build-image stops at a step that fails', () => {
    const archive = scratch.file('not-built.tar');
    const done = run('build-image.mjs', [scratch.file('root.tar'), archive, 'exit 9']);
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('exit 9: exit 9');
    expect(readdirSync(scratch.path)).not.toContain('not-built.tar');
  });

  it('test-fixtures passes its own tests', () => {
    const done = run('test-fixtures.mjs', [], ['--test']);
    expect({ status: done.status, output: done.status === 0 ? '' : done.stdout }).toEqual({ status: 0, output: '' });
    expect(done.stdout).toMatch(/^[#ℹ] pass 2$/m);
  });

  it('progress prints each stage', () => {
    const fresh = makeDockerArchive(scratch.file('fresh'), [(tree) => writeFileSync(join(tree, 'file'), 'fresh')], {
      reference: 'fresh:latest',
    });
    const done = run('progress.mjs', [fresh.path]);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(done.stdout).toMatch(/: \d+ bytes\n/);
    expect(done.stdout).toContain(': done\n');
    expect(done.stdout).toContain(`loaded fresh:latest ${fresh.id}\n`);
  });

  it('progress stops at its time limit and says so', () => {
    const done = run('progress.mjs', [image.path, '0']);
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/^ERR_ABORTED: /);
  });

  it('copy-image brings an image into another registry as it was', async (context) => {
    need(context, 'docker-registry', 'skopeo');
    await using one = await DockerRegistry.start(scratch.file('one'));
    await using two = await DockerRegistry.start(scratch.file('two'));
    const [from, to] = [`${one.host}/shell:1`, `${two.host}/mirror/shell:1`];
    const put = ['copy', '-q', '--dest-tls-verify=false', `docker-archive:${image.path}`, `docker://${from}`];
    execFileSync('skopeo', ['--insecure-policy', ...put]);
    const done = run('copy-image.mjs', [from, to]);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    const [, digest] = /is (sha256:[0-9a-f]{64})\n/.exec(done.stdout) ?? [];
    expect(done.stdout).toMatch(
      new RegExp(`^${from} is ${digest ?? ''}\n  sha256:\\S+ \\d+ bytes: uploaded\n${to} is ${digest ?? ''}\n$`),
    );
  });
});
