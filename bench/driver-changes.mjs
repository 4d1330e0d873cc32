// Finding and writing 1 and 10,000 changed files over a layer of 12,000.
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { driverNames, MeasuredHome } from './driver-homes.mjs';
import { filesTar } from './inputs.mjs';
import { measure, measureCall, run } from './measure.mjs';
import { takeTurns } from './rounds.mjs';

const files = 12_000;
export const changeCounts = [1, 10_000];

/**
 * @param {string} directory
 * @param {import('./run.mjs').Options} options
 */
export async function measureChanges(directory, { rounds, busy, note }) {
  const base = await filesTar(files);
  const found = [];
  for (const count of changeCounts) {
    const place = join(directory, `changed-${count}`);
    mkdirSync(place);
    const sides = [];
    for (const name of driverNames) {
      note(`${count} changed, filling a home of ${name}`);
      sides.push(await driverSide(name, place, base, count));
    }
    const changed = await changedTree(place, base, count);
    sides.push({
      label: 'tar',
      take: async () => ({
        'tar of the changed files': await measure(['tar', '-C', changed, '-cf', join(place, 'tar'), '.']),
      }),
      end: () => undefined,
    });
    const samples = await takeTurns(sides, {
      rounds,
      warmUp: 1,
      busy,
      note: (text) => note(`${count} changed, ${text}`),
    });
    for (const { end } of sides) await end();
    found.push({ count, samples });
    rmSync(place, { recursive: true });
  }
  return found;
}

async function driverSide(name, place, base, count) {
  const home = await MeasuredHome.open(name, place);
  const parent = await home.stack('layer', [base]);
  await home.driver.createReadWrite('box', { parent });
  {
    const view = await home.views.mount('box');
    for (const path of changedPaths(view, count)) appendFileSync(path, 'changed\n');
    await run(['sync', '-f', view]);
    await home.views.unmount('box');
  }
  return {
    label: name,
    take: async () => ({
      [`${name} changes`]: await measureCall(() => home.diffs.changes('box', parent)),
      [`${name} diff`]: await measureCall(() => home.diffs.diff('box', parent, { path: join(place, `${name}.tar`) })),
    }),
    end: () => home.close(),
  };
}

/** The least work: an upper with nothing in it but what changed, packed by GNU tar. */
async function changedTree(place, base, count) {
  const tree = join(place, 'changed');
  mkdirSync(tree);
  const names = changedPaths('.', count).map((path) => `./${path}`);
  for (let first = 0; first < names.length; first += 1000) {
    await run(['tar', '-C', tree, '-xf', base, ...names.slice(first, first + 1000)]);
  }
  return tree;
}

const changedPaths = (root, count) =>
  Array.from({ length: count }, (_, index) => join(root, `dir-${Math.floor(index / 100)}`, `file-${index}`));
