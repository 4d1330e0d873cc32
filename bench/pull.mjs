// Pulling an image from a registry on loopback: layerstore next to skopeo, podman and containerd.
import { join } from 'node:path';
import { figure } from './chart.mjs';
import { containerdIsInstalled, startContainerd } from './containerd.mjs';
import { measureWith } from './daemon.mjs';
import { withFileSystem } from './file-systems.mjs';
import { debianImage, warm } from './inputs.mjs';
import { isInstalled, measure, summary } from './measure.mjs';
import { containersEnvironment, layerstore } from './peers.mjs';
import { delay, registryIsInstalled, startRegistry } from './registry.mjs';
import { mebibytes, medianAndMinimum, publish, ratio, wallBars } from './report.mjs';
import { takeTurns } from './rounds.mjs';

/** Milliseconds that each request is held back. */
const delays = [0, 20];

const pullers = [
  {
    name: 'layerstore pull',
    isThere: () => true,
    pull: (reference, directory) =>
      measure([...layerstore, '--root', join(directory, 'root'), '--progress', 'none', 'pull', '--quiet', reference]),
  },
  {
    name: 'skopeo copy to containers-storage',
    isThere: () => isInstalled('skopeo'),
    pull: (reference, directory) =>
      measure(
        [
          ...['skopeo', 'copy', '--quiet', '--insecure-policy', '--src-tls-verify=false', `docker://${reference}`],
          `containers-storage:[overlay@${directory}/storage+${directory}/run]localhost/bench:latest`,
        ],
        { env: containersEnvironment(directory) },
      ),
  },
  {
    name: 'podman pull',
    isThere: () => isInstalled('podman'),
    pull: (reference, directory) =>
      measure(
        [
          ...['podman', '--root', join(directory, 'storage'), '--runroot', join(directory, 'run')],
          ...['--storage-driver', 'overlay', 'pull', '--quiet', '--tls-verify=false', reference],
        ],
        { env: containersEnvironment(directory) },
      ),
  },
  {
    name: 'ctr image pull',
    isThere: containerdIsInstalled,
    pull: pullWithContainerd,
  },
];

const [ours, skopeo, podman] = pullers.map(({ name }) => name);

/** @param {import('./run.mjs').Options} options */
export async function pull({ rounds, on, note, busy }) {
  if (!registryIsInstalled()) throw new Error('docker-registry and skopeo are needed for the registry');
  const image = await debianImage({ compression: 'gzip', layers: 2 });
  await warm(image);
  const registry = await startRegistry(image);
  const results = [];
  for (const milliseconds of delays) {
    const proxy = milliseconds === 0 ? undefined : await delay(registry.host, milliseconds);
    const reference = registry.reference.replace(registry.host, proxy?.host ?? registry.host);
    for (const fileSystem of on) {
      const sides = pullers
        .filter(({ isThere }) => isThere())
        .map((puller) => ({
          label: puller.name,
          take: async () => ({
            [puller.name]: await withFileSystem(fileSystem, (directory) => puller.pull(reference, directory)),
          }),
        }));
      const title = `${milliseconds} ms per request`;
      // The registry itself works meanwhile, for every program alike: its share cannot be told from that of others.
      const samples = await takeTurns(sides, {
        rounds,
        busy,
        note: (text) => note(`${title}, ${fileSystem}, ${text}`),
      });
      results.push({ title, fileSystem, milliseconds, samples });
    }
    await proxy?.stop();
  }
  await registry.stop();
  await publish({
    name: 'pull',
    command: `node bench/run.mjs pull --rounds ${rounds}`,
    aims: results.filter(({ fileSystem }) => fileSystem === 'ext4').flatMap(aims),
    tables: results.map(({ title, fileSystem, samples }) => ({
      title: `pull: two gzip layers, ${title}, ${fileSystem}`,
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
      file: `pull-${fileSystem}`,
      title: `Pulling a Debian image from loopback, ${fileSystem}: wall time, median; tick: minimum`,
      unit: 's',
      panels: results
        .filter((result) => result.fileSystem === fileSystem)
        .map(({ title, samples }) => ({
          title,
          bars: wallBars(samples, (name) => name === ours),
        })),
    })),
    samples: results,
  });
}

function row(name, list, reference) {
  const of = (key) => summary(list.map((sample) => sample[key]));
  const relative = (key) => ratio(of(key).median / summary(reference.map((sample) => sample[key])).median);
  return [
    name,
    medianAndMinimum(of('wall')),
    relative('wall'),
    medianAndMinimum(of('cpu')),
    relative('cpu'),
    mebibytes(of('memory').maximum),
  ];
}

function aims({ fileSystem, milliseconds, samples }) {
  const median = (name) => summary((samples[name] ?? []).map(({ wall }) => wall)).median;
  return [skopeo, podman].map((peer) => {
    const reached = median(ours) / median(peer);
    return {
      aim: `pull on ${fileSystem}, ${milliseconds} ms per request: wall at most 0.5 of ${peer}`,
      reached: figure(reached),
      met: reached <= 0.5,
    };
  });
}

async function pullWithContainerd(reference, directory) {
  const daemon = await startContainerd(join(directory, 'containerd'));
  return measureWith(daemon, ['ctr', '--address', daemon.socket, 'images', 'pull', '--plain-http', reference]);
}
