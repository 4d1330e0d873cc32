/** kill -9 at every publish step of every command that changes a store; afterwards the store is sound and complete. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LayerStore, type CheckReport } from '@layerstore/store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerRegistry } from '../support/docker-registry.js';
import { makeDockerArchive, threeLayers, type TestImage } from '../support/image.js';
import { need } from '../support/programs.js';
import { hasProgram, isRoot, mountsBelow, Scratch } from '../support/scratch.js';

const victim = fileURLToPath(new URL('victim.mjs', import.meta.url));

interface Case {
  readonly name: string;
  /** The operation of victim.mjs and its arguments; `IMAGE` stands for the archive, `REFERENCE` for the same image in a registry. */
  readonly operation: readonly string[];
  /** Once at each kind of step suffices for what differs from another command only before its publication. */
  readonly kill?: 'at every step' | 'at every kind of step';
  /** What must be there afterwards, whatever happened. */
  readonly keeps: readonly string[];
}

const cases: readonly Case[] = [
  { name: 'load', operation: ['load', 'IMAGE'], keeps: ['base:latest'] },
  { name: 'pull', operation: ['pull', 'REFERENCE'], kill: 'at every kind of step', keeps: ['base:latest'] },
  { name: 'tag', operation: ['tag', 'base', 'second:name'], keeps: ['base:latest'] },
  { name: 'create', operation: ['create', 'base', 'fresh'], keeps: ['base:latest'] },
  { name: 'mount', operation: ['mount', 'box'], keeps: ['base:latest'] },
  { name: 'commit', operation: ['commit', 'box', 'committed:1'], keeps: ['base:latest'] },
  { name: 'rm', operation: ['rm', 'box'], keeps: ['base:latest'] },
  { name: 'rmi', operation: ['rmi', 'spare'], keeps: ['base:latest'] },
  { name: 'prune', operation: ['prune'], keeps: ['base:latest'] },
];

describe.skipIf(!isRoot)('a store killed in the middle of a publication (needs root)', () => {
  let scratch: Scratch;
  let fresh: TestImage;
  let registry: DockerRegistry | undefined;
  let reference = '';

  beforeAll(async () => {
    scratch = new Scratch('crash');
    const [first, ...others] = threeLayers;
    if (first === undefined) throw new Error('no layers');
    const base = makeDockerArchive(scratch.file('base'), [first], { reference: 'base:latest' });
    const spare = makeDockerArchive(scratch.file('spare'), [first, ...others.slice(0, 1)], {
      reference: 'spare:latest',
    });
    fresh = makeDockerArchive(scratch.file('fresh'), threeLayers, { reference: 'fresh:latest', compression: 'gzip' });
    await using store = await LayerStore.open({ root: scratch.file('template') });
    await store.images.load({ path: base.path });
    await store.images.load({ path: spare.path });
    await store.containers.create('base', { name: 'box' });
    if (!hasProgram('docker-registry') || !hasProgram('skopeo')) return;
    registry = await DockerRegistry.start(scratch.file('registry'));
    reference = `${registry.host}/fresh:latest`;
    const put = ['copy', '-q', '--dest-tls-verify=false', `docker-archive:${fresh.path}`, `docker://${reference}`];
    execFileSync('skopeo', ['--insecure-policy', ...put]);
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const run = (root: string, killAt: number, operation: readonly string[]) => {
    const argv = operation.map((word) => (word === 'IMAGE' ? fresh.path : word === 'REFERENCE' ? reference : word));
    return spawnSync(process.execPath, [victim, root, 'overlay2', String(killAt), ...argv], { encoding: 'utf8' });
  };

  it.for(cases)(
    '$name: every step leaves it sound, and prune leaves nothing over',
    async ({ name, operation, kill, keeps }, context) => {
      if (operation.includes('REFERENCE')) need(context, 'docker-registry', 'skopeo');
      const copyOf = (suffix: string): string => {
        const root = scratch.file(`${name}-${suffix}`);
        execFileSync('cp', ['-a', scratch.file('template'), root]);
        return root;
      };
      const counting = run(copyOf('all'), 0, operation);
      expect(counting.stderr).toBe('');
      const steps = JSON.parse(counting.stdout) as string[];
      expect(steps.length).toBeGreaterThan(0);
      for (const [index, step] of steps.entries()) {
        if (kill === 'at every kind of step' && steps.indexOf(step) < index) continue;
        const root = copyOf(String(index));
        const killed = run(root, index + 1, operation);
        expect({ step, signal: killed.signal }).toEqual({ step, signal: 'SIGKILL' });
        await using store = await LayerStore.open({ root });
        expect({ step, ...(await findings(store)) }).toEqual({ step, findings: [] });
        const names = (await store.images.list()).flatMap((image) => image.references);
        expect({ step, names }).toEqual({ step, names: expect.arrayContaining([...keeps]) as string[] });
        await store.prune();
        expect({ step, leftovers: (await store.check({ verify: true })).leftovers }).toEqual({ step, leftovers: [] });
        expect({ step, ...(await findings(store)) }).toEqual({ step, findings: [] });
        await again(store, operation, step);
        for (const point of mountsBelow(root)) expect(point).toContain('/home/');
        await unmountAll(store);
        expect({ step, mounts: mountsBelow(root) }).toEqual({ step, mounts: [] });
        expect(existsSync(root)).toBe(true);
      }
    },
  );

  /** The interrupted command works when it is given again, or says that it is done. */
  async function again(store: LayerStore, operation: readonly string[], step: string): Promise<void> {
    const [verb, first = '', second = ''] = operation;
    if (verb === 'load') await store.images.load({ path: fresh.path });
    if (verb === 'pull') await store.images.pull(reference);
    if (verb === 'commit') await store.containers.commit(first, second);
    if (verb === 'tag') await store.images.tag(first, second);
    const names = (await store.images.list()).flatMap((image) => image.references);
    if (verb === 'load')
      expect({ step, names }).toEqual({ step, names: expect.arrayContaining(['fresh:latest']) as string[] });
    if (verb === 'pull')
      expect({ step, names }).toEqual({ step, names: expect.arrayContaining([reference]) as string[] });
  }
});

async function findings(store: LayerStore): Promise<Pick<CheckReport, 'findings'>> {
  const { findings } = await store.check({ verify: true });
  return { findings };
}

async function unmountAll(store: LayerStore): Promise<void> {
  for (const container of await store.containers.list()) await store.containers.unmount(container.name, { all: true });
}
