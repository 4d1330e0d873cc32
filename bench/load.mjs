// Loading an image: layerstore next to umoci, skopeo, docker and tar.
import { figure } from './chart.mjs';
import { withFileSystem } from './file-systems.mjs';
import { debianImage, warm } from './inputs.mjs';
import { summary } from './measure.mjs';
import { floor, loaders } from './peers.mjs';
import { mebibytes, medianAndMinimum, publish, ratio, wallBars } from './report.mjs';
import { takeTurns } from './rounds.mjs';

const cases = [
  { title: 'gzip, one layer', compression: 'gzip', layers: 1 },
  { title: 'gzip, two layers', compression: 'gzip', layers: 2 },
  { title: 'zstd, one layer', compression: 'zstd', layers: 1 },
  { title: 'plain, one layer', compression: 'plain', layers: 1 },
];

const [ours, oursDocker] = loaders.map(({ name }) => name);

/** @param {import('./run.mjs').Options} options */
export async function load({ rounds, on, note, busy }) {
  const results = [];
  for (const { title, ...form } of cases) {
    const image = await debianImage(form);
    await warm(image);
    const peers = [...loaders, floor].filter(
      ({ isThere, cannot }) => isThere() && cannot?.includes(form.compression) !== true,
    );
    for (const fileSystem of on) {
      const sides = peers.map((peer) => ({
        label: peer.name,
        take: async () => ({
          [peer.name]: await withFileSystem(fileSystem, (directory) => peer.load(image, directory)),
        }),
      }));
      const samples = await takeTurns(sides, {
        rounds,
        busy,
        note: (text) => note(`${title}, ${fileSystem}, ${text}`),
      });
      results.push({ title, fileSystem, form, samples });
    }
  }
  await publish({
    name: 'load',
    command: `node bench/run.mjs load --rounds ${rounds}`,
    aims: results.filter(({ form }) => form.compression === 'gzip' && form.layers === 1).flatMap(aims),
    tables: results.map(({ title, fileSystem, samples }) => ({
      title: `load: ${title}, ${fileSystem}`,
      header: [
        '',
        'wall s: median (min)',
        'wall, of layerstore',
        'CPU s: median (min)',
        'CPU, of layerstore',
        'memory',
      ],
      rows: Object.entries(samples).map(([name, list]) => row(name, list, samples[ours])),
    })),
    charts: on.map((fileSystem) => ({
      file: `load-${fileSystem}`,
      title: `Loading a Debian image, ${fileSystem}: wall time, median; tick: minimum`,
      unit: 's',
      panels: results
        .filter((result) => result.fileSystem === fileSystem)
        .map(({ title, samples }) => ({
          title,
          bars: wallBars(Object.fromEntries(Object.entries(samples).filter(([name]) => name !== floor.name)), (name) =>
            name.startsWith('layerstore'),
          ),
        })),
    })),
    samples: results,
  });
}

function row(name, list, reference) {
  const wall = summary(list.map((sample) => sample.wall));
  const cpu = summary(list.map((sample) => sample.cpu));
  const of = (key, mine) => ratio(mine.median / summary(reference.map((sample) => sample[key])).median);
  const isFloor = name === floor.name;
  return [
    name,
    isFloor ? '' : medianAndMinimum(wall),
    isFloor ? '' : of('wall', wall),
    medianAndMinimum(cpu),
    of('cpu', cpu),
    mebibytes(summary(list.map((sample) => sample.memory)).maximum),
  ];
}

function aims({ fileSystem, samples }) {
  const median = (name, key) => summary((samples[name] ?? []).map((sample) => sample[key])).median;
  const against = (peer, mine, limit) => {
    const reached = median(mine, 'wall') / median(peer, 'wall');
    return {
      aim: `load of a gzip image on ${fileSystem}: wall ${limit === 1 ? 'below' : `at most ${limit} of`} ${peer}`,
      reached: figure(reached),
      met: limit === 1 ? reached < 1 : reached <= limit,
    };
  };
  const cpu = median(ours, 'cpu') / median(floor.name, 'cpu');
  const [, , umoci, skopeo, docker, tar] = loaders.map(({ name }) => name);
  return [
    against(umoci, ours, 0.5),
    against(skopeo, ours, 0.5),
    against(docker, oursDocker, 0.5),
    against(tar, ours, 1),
    {
      aim: `load of a gzip image on ${fileSystem}: CPU at most 1.7 of ${floor.name}`,
      reached: figure(cpu),
      met: cpu <= 1.7,
    },
  ];
}
