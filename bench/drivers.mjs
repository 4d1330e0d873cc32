// What the drivers cost: layers made, mounted and removed at three depths; changes and diffs; reads of views. Next to podman, buildah
// and fuse-overlayfs, and the overlays over an aufs home next to those of overlay2.
import { figure } from './chart.mjs';
import { changeCounts, measureChanges } from './driver-changes.mjs';
import { driverNames } from './driver-homes.mjs';
import { measureReads } from './driver-reads.mjs';
import { depths, measureStacks, repeats } from './driver-stacks.mjs';
import { withFileSystem } from './file-systems.mjs';
import { summary } from './measure.mjs';
import { medianAndMinimum, publish, ratio } from './report.mjs';

/** @param {import('./run.mjs').Options} options */
export async function drivers({ rounds, on, note, busy }) {
  const results = [];
  for (const fileSystem of on) {
    const options = { rounds, on, busy, note: (text) => note(`${fileSystem}, ${text}`) };
    results.push({
      fileSystem,
      stacks: await withFileSystem(fileSystem, (directory) => measureStacks(directory, options)),
      changes: await withFileSystem(fileSystem, (directory) => measureChanges(directory, options)),
      reads: await withFileSystem(fileSystem, (directory) => measureReads(directory, options)),
    });
  }
  await publish({
    name: 'drivers',
    command: `node bench/run.mjs drivers --rounds ${rounds}`,
    aims: results.flatMap(aims),
    tables: results.flatMap(({ fileSystem, stacks, changes, reads }) => [
      {
        title: `drivers: a call, ${fileSystem}, wall ms: median (min)`,
        header: ['', ...depths.map(layers)],
        rows: namesOf(stacks, isCall).map((name) => [
          name,
          ...stacks.map(({ samples }) => cell(samples[name], repeats)),
        ]),
      },
      {
        title: `drivers: a command, ${fileSystem}, wall ms: median (min)`,
        header: ['', ...depths.map(layers)],
        rows: namesOf(stacks, (name) => !isCall(name)).map((name) => [
          name,
          ...stacks.map(({ samples }) => cell(samples[name])),
        ]),
      },
      {
        title: `drivers: changes over 12,000 files, ${fileSystem}, wall ms: median (min)`,
        header: ['', ...changeCounts.map((count) => `${count.toLocaleString('en')} changed`)],
        rows: namesOf(changes, () => true).map((name) => [name, ...changes.map(({ samples }) => cell(samples[name]))]),
      },
      {
        title: `drivers: reading a view, ${fileSystem}`,
        header: ['', 'wall ms: median (min)', 'of overlay2'],
        rows: Object.keys(reads).map((name) => [
          name,
          cell(reads[name]),
          ratio(median(reads[name]) / median(reads[`overlay2, ${name.split(', ')[1]}`])),
        ]),
      },
    ]),
    charts: results.flatMap(({ fileSystem, stacks, changes, reads }) => [
      {
        file: `drivers-stacks-${fileSystem}`,
        title: `Mounting and unmounting by depth, ${fileSystem}: median; tick: minimum`,
        unit: 'ms',
        panels: stacks.flatMap(({ depth, samples }) => [
          panel(`calls, ${layers(depth)}`, samples, (name) => isCall(name), repeats),
          panel(`commands, ${layers(depth)}`, samples, (name) => !isCall(name), 1),
        ]),
      },
      {
        file: `drivers-reads-${fileSystem}`,
        title: `Changes, diffs and reads, ${fileSystem}: median; tick: minimum`,
        unit: 'ms',
        panels: [
          ...changes.map(({ count, samples }) =>
            panel(`${count.toLocaleString('en')} changed of 12,000 files`, samples, () => true, 1),
          ),
          ...['read 127 layers', 'cold walk', 'warm walk'].map((what) =>
            panel(what, reads, (name) => name.endsWith(what), 1),
          ),
        ],
      },
    ]),
    samples: results,
  });
}

/** The shadow layers of the aufs driver against plain overlays of the same layers. */
function aims({ fileSystem, reads }) {
  if (!driverNames.includes('aufs')) return [];
  const against = (what, limit) => {
    const reached = median(reads[`aufs, ${what}`]) / median(reads[`overlay2, ${what}`]);
    return {
      aim: `aufs home by overlays, ${what}, ${fileSystem}: within ${limit} of overlay2`,
      reached: figure(reached),
      met: reached <= limit,
    };
  };
  return [against('cold walk', 1.25), against('warm walk', 1.1)];
}

const isCall = (name) => driverNames.includes(name.split(' ')[0]);
const isOurs = (name) => isCall(name) || driverNames.includes(name.split(',')[0]) || name.includes('layerstore');
const layers = (depth) => (depth === 1 ? '1 layer' : `${depth} layers`);

/** Names of what was measured, in any of the cases. */
const namesOf = (cases, wanted) => [...new Set(cases.flatMap(({ samples }) => Object.keys(samples)))].filter(wanted);

const milliseconds = (list, calls = 1) => summary(list.map(({ wall }) => (wall * 1000) / calls));
const median = (list) => (list === undefined ? NaN : milliseconds(list).median);
const cell = (list, calls) => (list === undefined ? '–' : medianAndMinimum(milliseconds(list, calls)));

function panel(title, samples, wanted, calls) {
  return {
    title,
    bars: Object.keys(samples)
      .filter(wanted)
      .map((name) => {
        const { median: value, minimum } = milliseconds(samples[name], calls);
        return { label: name.replaceAll('`', ''), value, minimum, ours: isOurs(name) };
      }),
  };
}
