/** Power cuts at random moments, during and right after commands, on one disk for a long time. */
import { LayerStore } from '@layerstore/store';
import { describe, expect, it } from 'vitest';
import { makeDockerArchive, threeLayers } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { KnownContent } from './known-content.js';
import { PoweredDisk } from './powered-disk.js';
import { chance, record, untilTimeIsOver } from './soak.js';
import { runVictim } from './victims.js';

const fileSystems = ['ext4', 'xfs', 'btrfs'] as const;

describe.skipIf(!isRoot)('power cuts (needs root and loop devices)', () => {
  for (const type of fileSystems) {
    const program = `mkfs.${type}`;
    it.skipIf(!hasProgram(program))(`lose nothing that was reported done on ${type} (needs ${program})`, async () => {
      using scratch = new Scratch('power', '/dev/shm');
      const images = [1, 2, 3].map((count) =>
        makeDockerArchive(scratch.file(`image-${count}`), threeLayers.slice(0, count), {
          reference: `image-${count}:latest`,
          compression: 'gzip',
        }),
      );
      using disk = new PoweredDisk(scratch.path, type, 512);
      const root = `${disk.path}/root`;
      const content = new KnownContent(images);
      const journal: string[] = [];
      let during = 0;
      const rounds = await untilTimeIsOver(async (round) => {
        const outcomes = [];
        const count = 1 + chance(3);
        for (let index = 0; index < count; index += 1) {
          const operation = content.nextOperation();
          content.expectLoss(operation);
          const last = index === count - 1;
          const outcome = await runVictim(operation, {
            root,
            driver: 'overlay2',
            kill: last && chance(2) === 0 ? 'randomly' : 'never',
          });
          journal.push(`${round}: ${operation.join(' ')}: ${outcome.end}`);
          expect({ journal: journal.slice(-6), stderr: outcome.stderr }).toMatchObject({ stderr: '' });
          outcomes.push(outcome);
        }
        during += outcomes.filter(({ end }) => end === 'killed').length;
        disk.cutPower();
        const context = journal.slice(-6);
        await using store = await LayerStore.open({ root });
        const { findings } = await store.check({ verify: true });
        expect({ context, findings }).toEqual({ context, findings: [] });
        expect({ context, missing: await content.missing(store, outcomes) }).toEqual({ context, missing: [] });
        if (round % 10 === 9) await store.prune();
      });
      record(
        `power cut, ${type}`,
        `${rounds} cuts, ${during} of them in the middle of a command; \`check --verify\` sound after each, nothing lost.`,
      );
    });
  }
});
