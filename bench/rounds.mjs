// Rounds: every program in turn, each when the processors are idle; samples that other programs disturbed are taken again.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {import('./measure.mjs').Sample} Sample */

/**
 * @typedef {object} Side one of the programs that are compared
 * @property {string} label
 * @property {(round: number) => Promise<Record<string, Sample>>} take samples by the name of what was measured
 */

/** A sample counts when others had less than this part of all processors meanwhile, or these seconds: Linux counts coarsely. */
const tolerated = { part: 0.15, seconds: 0.03 };

/**
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, warmUp?: number, busy: boolean, note: (text: string) => void }} options `warmUp` rounds are
 *   not counted; with `busy` every sample is
 * @returns {Promise<Record<string, Sample[]>>} `rounds` samples of each name, more for those that share a side
 */
export async function takeTurns(sides, { rounds, warmUp = 0, busy, note }) {
  /** @type {Record<string, Sample[]>} */
  const samples = {};
  const waiting = new Set(sides);
  const last = warmUp + 4 * rounds;
  for (let round = 0; waiting.size > 0; round += 1) {
    for (const side of waiting) {
      note(`round ${round + 1}: ${side.label}`);
      if (!busy && !(await untilIdle())) note('the processors stay busy');
      const taken = Object.entries(await side.take(round));
      if (round < warmUp) continue;
      for (const [name, sample] of taken) {
        samples[name] ??= [];
        if (busy || round >= last || isUndisturbed(sample)) samples[name].push(sample);
        else note(`disturbed, to be repeated: ${name}`);
      }
      if (taken.every(([name]) => samples[name].length >= rounds)) waiting.delete(side);
    }
  }
  return samples;
}

/** Waits until nothing uses the processors, for at most two minutes. */
async function untilIdle() {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const before = busySeconds();
    await sleep(300);
    if ((busySeconds() - before) / (0.3 * availableParallelism()) < 0.1) return true;
  }
  return false;
}

/** Seconds that all processors together have worked so far; Linux counts in 1/100 s. */
export function busySeconds() {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user, nice, system, , , interrupts, softInterrupts] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + interrupts + softInterrupts) / 100;
}

const isUndisturbed = ({ wall, cpu, busy }) =>
  busy - cpu < Math.max(tolerated.part * wall * availableParallelism(), tolerated.seconds);
