// The greatest resident set while an image is loaded: it must not grow with the image.
import { withFileSystem } from './file-systems.mjs';
import { debianImage, manyFilesImage, oneFileImage, warm } from './inputs.mjs';
import { summary } from './measure.mjs';
import { loaders } from './peers.mjs';
import { mebibytes, medianAndMinimum, publish } from './report.mjs';

/** @param {import('./run.mjs').Options} options */
export async function memory({ rounds, note }) {
  const peers = loaders.filter(
    ({ name, isThere }) => isThere() && /^(layerstore load, OCI|umoci|skopeo|docker)/.test(name),
  );
  const cases = [
    ['170 MB, 8,700 members, gzip', () => debianImage({ compression: 'gzip' })],
    ['170 MB in two layers, gzip', () => debianImage({ compression: 'gzip', layers: 2 })],
    ['2 GB, 105,000 members, plain', () => manyFilesImage('plain')],
    ['2 GB, 105,000 members, gzip', () => manyFilesImage('gzip')],
    ['2 GB, 105,000 members, zstd', () => manyFilesImage('zstd')],
    ['2 GB in one file, gzip', () => oneFileImage()],
  ];
  const results = [];
  for (const [title, make] of cases) {
    note(`${title}: making the image`);
    const image = await make();
    await warm(image);
    for (const peer of peers) {
      if (peer.cannot?.includes(image.compression)) continue;
      const samples = [];
      for (let round = 0; round < Math.min(rounds, 3); round += 1) {
        note(`${title}, round ${round + 1}: ${peer.name}`);
        samples.push(await withFileSystem('tmpfs', (directory) => peer.load(image, directory), { gibibytes: 6 }));
      }
      results.push({ title, peer: peer.name, samples });
    }
  }
  const greatest = ({ samples }) => summary(samples.map((sample) => sample.memory)).maximum;
  const ours = results.filter(({ peer }) => peer.startsWith('layerstore'));
  const reached = Math.max(...ours.map(greatest));
  await publish({
    name: 'memory',
    command: `node bench/run.mjs memory --rounds ${rounds}`,
    aims: [
      {
        aim: 'memory of `load` under 150 MB whatever the size of the image',
        reached: `${(reached / 1e6).toFixed(0)} MB`,
        met: reached < 150e6,
      },
    ],
    tables: [
      {
        title: 'memory: greatest resident set of any one process, tmpfs',
        header: ['', 'program', 'memory', 'wall s: median (min)'],
        rows: results.map((result) => [
          result.title,
          result.peer,
          mebibytes(greatest(result)),
          medianAndMinimum(summary(result.samples.map(({ wall }) => wall))),
        ]),
      },
    ],
    charts: [
      {
        file: 'memory',
        title: 'Loading an image: greatest resident set',
        unit: 'MiB',
        panels: cases.map(([title]) => ({
          title,
          bars: results
            .filter((result) => result.title === title)
            .map((result) => ({
              label: result.peer,
              value: greatest(result) / 2 ** 20,
              ours: result.peer.startsWith('layerstore'),
            })),
        })),
      },
    ],
    samples: results,
  });
}
