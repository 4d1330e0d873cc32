/** kill -9 of either side in the middle of unpacking: records, directories and mounts agree afterwards, and everything can be done again. */
import { describe, expect, it } from 'vitest';
import { containerdPrograms } from '../support/containerd.js';
import { KilledRounds } from '../support/containerd-rounds.js';
import { makeDockerArchive, threeLayers, type LayerContent } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const available = isRoot && containerdPrograms.every(hasProgram);

describe.skipIf(!available)(`containerd on layerstore, killed (needs root, ${containerdPrograms.join(', ')})`, () => {
  it.each(['overlay2', 'vfs'])(
    'agrees with itself after each of several kills, on %s',
    async (driver) => {
      using scratch = new Scratch('killed', '/dev/shm');
      const image = makeDockerArchive(scratch.file('made'), [...threeLayers, ...manyFiles(6)], {
        reference: 'docker.io/library/killed:1',
      });
      await using rounds = await new KilledRounds(scratch, [image.path], ['--driver', driver]).start();
      const moments = [60, 150, 250, 400];
      for (const [index, afterMs] of moments.entries()) {
        const victim = index % 3 === 2 ? 'containerd' : 'server';
        const disagreements = await rounds.round(victim, afterMs, image.path);
        expect({ victim, afterMs, disagreements }).toEqual({ victim, afterMs, disagreements: [] });
      }
      expect(rounds.finish()).toEqual([]);
      await rounds.server.end();
      rounds.layerstore.succeed('prune');
      expect(rounds.layerstore.json('check', '--verify')).toMatchObject({ sound: true, leftovers: [] });
    },
    120_000,
  );
});

/** Layers that take a moment to unpack. */
function manyFiles(count: number): LayerContent[] {
  return Array.from({ length: count }, (_, layer): LayerContent => (directory) => {
    mkdirSync(join(directory, `many-${layer}`));
    for (let file = 0; file < 150; file += 1)
      writeFileSync(join(directory, `many-${layer}`, `${file}`), `${layer} ${file}\n`);
    execFileSync('ln', ['-s', '0', join(directory, `many-${layer}`, 'link')]);
  });
}
