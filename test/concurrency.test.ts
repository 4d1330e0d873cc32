/** Several processes on one root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { LayerStore } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDockerArchive, threeLayers } from './support/image.js';
import { isRoot, Scratch } from './support/scratch.js';

const victim = fileURLToPath(new URL('crash/victim.mjs', import.meta.url));

describe.skipIf(!isRoot)('two processes on one root (needs root)', () => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch('concurrency');
  });
  afterEach(() => scratch[Symbol.dispose]());

  const start = async (...operation: string[]): Promise<{ code: number | null; steps: string[]; stderr: string }> => {
    const child = spawn(process.execPath, [victim, scratch.file('root'), 'overlay2', '0', ...operation]);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stderr, steps: stdout === '' ? [] : (JSON.parse(stdout) as string[]) };
  };

  it('make the root together and unpack a layer that both load only once', async () => {
    const image = makeDockerArchive(scratch.path, threeLayers, { compression: 'gzip' });
    const runs = await Promise.all([1, 2, 3].map(() => start('load', image.path)));
    expect(runs.map((run) => [run.code, run.stderr])).toEqual([
      [0, ''],
      [0, ''],
      [0, ''],
    ]);
    const unpacked = runs.flatMap((run) => run.steps).filter((step) => step === 'unpack.applied');
    expect(unpacked).toHaveLength(3);
    await using store = await LayerStore.open({ root: scratch.file('root') });
    expect(await store.check({ verify: true })).toMatchObject({ sound: true, leftovers: [] });
  });

  it('load, tag, create, commit, remove and prune side by side without a wrong result', async () => {
    const images = ['one', 'two', 'three'].map((name, index) =>
      makeDockerArchive(scratch.file(name), threeLayers.slice(0, index + 1), { reference: `${name}:latest` }),
    );
    const [first, second, third] = images.map((image) => image.path);
    await start('load', String(first));
    const runs = await Promise.all([
      start('load', String(second)),
      start('load', String(third)),
      start('create', 'one', 'box-a'),
      start('create', 'one', 'box-b'),
      start('tag', 'one', 'uno:latest'),
    ]);
    expect(runs.map((run) => run.stderr).join('')).toBe('');
    const next = await Promise.all([
      start('commit', 'box-a', 'committed:a'),
      start('commit', 'box-b', 'committed:b'),
      start('rmi', 'three'),
      start('rmi', 'two'),
    ]);
    expect(next.map((run) => run.stderr).join('')).toBe('');
    await using store = await LayerStore.open({ root: scratch.file('root') });
    expect(await store.check({ verify: true })).toMatchObject({ sound: true, leftovers: [] });
    const names = (await store.images.list()).flatMap((image) => image.references).sort();
    expect(names).toEqual(['committed:a', 'committed:b', 'one:latest', 'uno:latest']);
  });
});
