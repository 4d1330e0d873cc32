/** kill -9 while a repository is read through a cache, also by two processes at once: what is cached afterwards is whole. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Repository } from '@layerstore/cvmfs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Scratch } from '../support/scratch.js';

const victim = fileURLToPath(new URL('cvmfs-victim.mjs', import.meta.url));
const fixture = fileURLToPath(new URL('../fixtures/cvmfs-repo/', import.meta.url));
const name = 'amber.example.org';
const key = join(fixture, `${name}.pub`);

interface Outcome {
  readonly signal: NodeJS.Signals | null;
  readonly result: { readonly steps: number; readonly sums: Readonly<Record<string, string>> } | undefined;
}

/** Paths in base64 -> SHA-256, as the standard client read them. */
const expected = (
  JSON.parse(readFileSync(join(fixture, 'manifest.json'), 'utf8')) as {
    entries: { path?: string; path_b64?: string; sha256?: string }[];
  }
).entries.flatMap(({ path, path_b64, sha256 }) =>
  sha256 === undefined ? [] : [[path_b64 ?? Buffer.from(path ?? '').toString('base64'), sha256] as const],
);

describe('readers of a repository that are killed', () => {
  let scratch: Scratch;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    scratch = new Scratch('cvmfs-crash');
    execFileSync('tar', ['-xzf', join(fixture, `${name}.tar.gz`), '-C', scratch.path]);
    server = createServer((request, response) => {
      try {
        response.end(readFileSync(scratch.file(new URL(request.url ?? '', 'http://host').pathname)));
      } catch {
        response.writeHead(404).end();
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
    scratch[Symbol.dispose]();
  });

  async function read(cache: string, killAt: number): Promise<Outcome> {
    const child = spawn(process.execPath, [victim, url, key, cache, String(killAt)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { signal, result: output === '' ? undefined : (JSON.parse(output) as Outcome['result']) };
  }

  async function checkCache(cacheDirectory: string): Promise<number> {
    const configuration = { name, servers: [url], masterKeys: [readFileSync(key, 'utf8')], cacheDirectory };
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
