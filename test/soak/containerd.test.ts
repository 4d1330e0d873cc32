/** Kills of layerstore's server and of containerd at random moments of unpacking, for a long time. */
import { describe, expect, it } from 'vitest';
import { containerdPrograms } from '../support/containerd.js';
import { KilledRounds } from '../support/containerd-rounds.js';
import { makeDockerArchive, threeLayers } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { chance, oneOf, record, untilTimeIsOver } from './soak.js';

const available = isRoot && containerdPrograms.every(hasProgram);

describe.skipIf(!available)(`containerd on layerstore (needs root, ${containerdPrograms.join(', ')})`, () => {
  it.each(['overlay2', 'vfs'])('survives random kills on %s', async (driver) => {
    using scratch = new Scratch('soak-containerd', '/dev/shm');
    const images = [1, 2, 3].map((count) =>
      makeDockerArchive(scratch.file(`image-${count}`), threeLayers.slice(0, count), {
        reference: `docker.io/library/soak-${count}:1`,
        compression: 'gzip',
      }),
    );
    const archives = images.map(({ path }) => path);
    await using rounds = await new KilledRounds(scratch, archives, ['--driver', driver]).start();
    let kills = 0;
    await untilTimeIsOver(async (round) => {
      const victim = oneOf(['server', 'server', 'containerd'] as const);
      const afterMs = chance(400);
      const disagreements = await rounds.round(victim, afterMs, oneOf(archives));
      expect({ round, victim, afterMs, disagreements }).toEqual({ round, victim, afterMs, disagreements: [] });
      kills += 1;
      if (round % 20 === 19) expect({ round, left: rounds.finish() }).toEqual({ round, left: [] });
    });
    expect(rounds.finish()).toEqual([]);
    record(
      `containerd, ${driver}`,
      `${kills} kills while images were unpacked; records, directories and mounts agreed after each.`,
    );
  });
});
