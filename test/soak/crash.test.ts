/** Operations killed with SIGKILL at random moments, alone and beside each other, on one store for a long time. */
import { writeFileSync } from 'node:fs';
import { LayerStore } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDockerArchive, threeLayers, type LayerContent } from '../support/image.js';
import { isRoot, mountsBelow, Scratch } from '../support/scratch.js';
import { KnownContent, type LoadableImage } from './known-content.js';
import { chance, record, untilTimeIsOver } from './soak.js';
import { runVictim, type Outcome } from './victims.js';

describe.skipIf(!isRoot)('kill -9 at random moments (needs root)', () => {
  let scratch: Scratch;
  let images: readonly LoadableImage[];

  beforeEach(() => {
    scratch = new Scratch('soak');
    images = imageVariants(scratch);
  });
  afterEach(() => scratch[Symbol.dispose]());

  it.each(['overlay2', 'vfs'])('leaves a sound store with everything that was reported done, on %s', async (driver) => {
    const root = scratch.file('root');
    const content = new KnownContent(images);
    const journal: string[] = [];
    let killed = 0;
    let pairs = 0;
    const rounds = await untilTimeIsOver(async (round) => {
      const count = chance(3) === 0 ? 2 : 1;
      const operations = Array.from({ length: count }, () => content.nextOperation());
      for (const operation of operations) content.expectLoss(operation);
      const kill = chance(6) === 0 ? 'never' : 'randomly';
      const outcomes = await Promise.all(operations.map((operation) => runVictim(operation, { root, driver, kill })));
      journal.push(...outcomes.map(({ operation, end }) => `${round}: ${operation.join(' ')}: ${end}`));
      killed += outcomes.filter(({ end }) => end === 'killed').length;
      pairs += count - 1;
      const context = journal.slice(-6);
      expect({ context, failures: failures(outcomes) }).toEqual({ context, failures: [] });
      await using store = await LayerStore.open({ root, driver });
      const { findings } = await store.check({ verify: true });
      expect({ context, findings }).toEqual({ context, findings: [] });
      expect({ context, missing: await content.missing(store, outcomes) }).toEqual({ context, missing: [] });
      if (round % 10 !== 9) return;
      await store.prune();
      const { findings: after, leftovers } = await store.check({ verify: true });
      expect({ context, after, leftovers }).toEqual({ context, after: [], leftovers: [] });
    });
    await using store = await LayerStore.open({ root, driver });
    for (const { name } of await store.containers.list()) await store.containers.remove(name, { force: true });
    await store.prune({ all: true });
    expect(await store.images.list()).toEqual([]);
    expect((await store.check()).leftovers).toEqual([]);
    expect(mountsBelow(root)).toEqual([]);
    record(
      `random kill -9, ${driver}`,
      `${rounds} rounds, ${killed} processes killed, ${pairs} rounds with two at once; \`check --verify\` sound after each, nothing lost.`,
    );
  });
});

/** Alone, an operation that was not killed succeeds; beside another it may lose its subject to it. */
function failures(outcomes: readonly Outcome[]): string[] {
  if (outcomes.length > 1) return [];
  return outcomes.filter(({ end }) => end === 'failed').map(({ stderr }) => stderr);
}

/** Images that share layers in several ways, large enough to be interrupted in. */
function imageVariants(scratch: Scratch): LoadableImage[] {
  const filler =
    (seed: number): LayerContent =>
    (directory) => {
      for (let index = 0; index < 300; index += 1) makeFile(`${directory}/file-${index}`, seed * 1000 + index);
    };
  const [first, second, third] = threeLayers;
  if (first === undefined || second === undefined || third === undefined) throw new Error('no layers');
  const variants: readonly (readonly LayerContent[])[] = [
    [first],
    [first, filler(1)],
    [first, filler(1), filler(2), third],
    [filler(3), second],
  ];
  return variants.map((layers, index) =>
    makeDockerArchive(scratch.file(`image-${index}`), layers, {
      reference: `image-${index}:latest`,
      compression: index % 2 === 0 ? 'gzip' : 'none',
    }),
  );
}

function makeFile(path: string, seed: number): void {
  writeFileSync(path, Buffer.alloc(1 + (seed % 7) * 4096, `content ${seed} `));
}
