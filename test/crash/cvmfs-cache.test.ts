/** kill -9 while a repository is read through a cache, also by two processes at once: what is cached afterwards is whole. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Repository } from '@layerstore/cvmfs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CvmfsFixture } from '../support/cvmfs-fixture.js';
import { Scratch } from '../support/scratch.js';

const victim = fileURLToPath(new URL('cvmfs-victim.mjs', import.meta.url));
const name = CvmfsFixture.repository;
const key = CvmfsFixture.keyFile;

interface Outcome {
  readonly signal: NodeJS.Signals | null;
  readonly result: { readonly steps: number; readonly sums: Readonly<Record<string, string>> } | undefined;
}

/** Paths in base64 -> SHA-256, as the standard client read them. */
const expected = CvmfsFixture.expected('manifest.json').flatMap(({ path, path_b64, sha256 }) =>
  sha256 === undefined ? [] : [[path_b64 ?? Buffer.from(path ?? '').toString('base64'), sha256] as const],
);

describe('readers of a repository that are killed', () => {
  let scratch: Scratch;
  let server: CvmfsFixture;

  beforeAll(async () => {
    scratch = new Scratch('cvmfs-crash');
    server = await CvmfsFixture.serve(scratch.path);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  async function read(cache: string, killAt: number): Promise<Outcome> {
    const child = spawn(process.execPath, [victim, server.url, key, cache, String(killAt)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { signal, result: output === '' ? undefined : (JSON.parse(output) as Outcome['result']) };
  }

  async function checkCache(cacheDirectory: string): Promise<number> {
    const configuration = { name, servers: [server.url], masterKeys: [readFileSync(key, 'utf8')], cacheDirectory };
    await using repository = await Repository.open({ configuration });
    const { damaged, unverifiable, objects } = await repository.objects.check();
    expect({ damaged, unverifiable }).toEqual({ damaged: [], unverifiable: 0 });
    await repository.objects.cleanUp();
    expect(readdirSync(join(cacheDirectory, 'clients')).length).toBe(1);
    return objects;
  }

  test('at steps from the first to the last leave whole objects, and the next one reads everything', async () => {
    const whole = await read(scratch.file('whole'), 0);
    expect(whole.result?.sums).toEqual(Object.fromEntries(expected));
    const steps = whole.result!.steps;
    const cache = scratch.file('killed');
    // A kill in the cache of the one before: each gets further with what is there.
    let before = 0;
    for (const killAt of [1, 2, 3, 4, 5, 6, 40, 41, 100, Math.floor(steps / 4)]) {
      expect((await read(cache, killAt)).signal).toBe('SIGKILL');
      const objects = await checkCache(cache);
      expect(objects).toBeGreaterThanOrEqual(before);
      before = objects;
    }
    expect((await read(cache, 0)).result?.sums).toEqual(whole.result?.sums);
  });

  test('do not disturb one that reads through the same cache', async () => {
    const cache = scratch.file('shared');
    const [one, two, killed] = await Promise.all([read(cache, 0), read(cache, 0), read(cache, 150)]);
    expect(one.result?.sums).toEqual(Object.fromEntries(expected));
    expect(two.result?.sums).toEqual(one.result?.sums);
    expect(killed.signal ?? 'ended').toMatch(/^(SIGKILL|ended)$/);
    await checkCache(cache);
  });
});
