// containerd with its own overlayfs snapshotter, and with layerstore behind a socket, in the same run: unpacking, running, single calls.
import { join } from 'node:path';
import { figure } from './chart.mjs';
import { containerdIsInstalled, startContainerd, startDaemon } from './snapshotter-host.mjs';
import { withFileSystem } from './file-systems.mjs';
import { debianImage, warm } from './inputs.mjs';
import { isInstalled, run, summary } from './measure.mjs';
import { mkdirSync, existsSync } from 'node:fs';
import { medianAndMinimum, publish, ratio } from './report.mjs';
import { takeTurns } from './rounds.mjs';
import { timeCalls } from './snapshot-calls.mjs';

const depths = [1, 50, 120];
const callTimes = 200;
const runTimes = 5;

/** What is unpacked by whom; `sync`: the file system is written to disk within the time. */
const unpackers = [
  { label: 'overlayfs', snapshotter: 'overlayfs', sync: false },
  { label: 'layerstore --no-sync', snapshotter: 'unsynced', sync: false },
  { label: 'overlayfs, then sync -f', snapshotter: 'overlayfs', sync: true },
  { label: 'layerstore', snapshotter: 'layerstore', sync: false },
];

/** @param {import('./run.mjs').Options} options */
export async function containerd({ rounds, on, note, busy }) {
  if (!containerdIsInstalled()) {
    note('containerd, ctr or runc is not installed: left out');
    return;
  }
  const images = {
    plain: await debianImage({ compression: 'plain' }),
    gzip: await debianImage({ compression: 'gzip' }),
  };
  for (const image of Object.values(images)) await warm(image);
  const aims = [];
  const tables = [];
  const all = {};
  for (const type of on) {
    const sides = [
      ...Object.values(images).flatMap((image) => unpackers.map((unpacker) => unpackSide(type, image, unpacker))),
      ...['overlayfs', 'layerstore'].map((snapshotter) => runSide(type, images.plain, snapshotter)),
      ...(await callSides(type, note)),
    ];
    const samples = await takeTurns(sides, { rounds, busy, note: (text) => note(`${type}: ${text}`) });
    all[type] = samples;
    const wall = (name) => summary(samples[name].map((sample) => sample.wall));
    const aim = (text, ours, theirs, limit) => {
      const reached = wall(ours).median / wall(theirs).median;
      aims.push({ aim: `${type}: ${text}`, reached: figure(reached), met: reached <= limit });
    };
    for (const compression of Object.keys(images)) {
      aim(
        `unpack, ${compression}, sync off: at most 1.05 of overlayfs`,
        `unpack ${compression}: layerstore --no-sync`,
        `unpack ${compression}: overlayfs`,
        1.05,
      );
      aim(
        `unpack, ${compression}, durable: at most 1.05 of overlayfs and sync -f`,
        `unpack ${compression}: layerstore`,
        `unpack ${compression}: overlayfs, then sync -f`,
        1.05,
      );
    }
    aim('ctr run --rm: at most 1.05 of overlayfs', 'run: layerstore', 'run: overlayfs', 1.05);
    for (const way of Object.keys(samples).some((name) => name.startsWith('overlay server'))
      ? ['direct', 'through containerd']
      : ['through containerd']) {
      const [ours, theirs] = way === 'direct' ? ['layerstore server', 'overlay server'] : ['layerstore', 'overlayfs'];
      for (const depth of depths) {
        aim(
          `Prepare, Mounts, Stat and Remove at depth ${depth}, ${way}: at most that of overlayfs`,
          `${ours}: ${depth} four calls`,
          `${theirs}: ${depth} four calls`,
          1,
        );
        aim(
          `8 callers at depth ${depth}, ${way}: at most the time of overlayfs`,
          `${ours}: ${depth} 8 callers`,
          `${theirs}: ${depth} 8 callers`,
          1,
        );
      }
    }
    const names = Object.keys(samples);
    const rows = (prefix) => names.filter((name) => name.startsWith(prefix));
    tables.push(
      {
        title: `containerd: unpack of the Debian image and ctr run --rm /bin/true, ${type}`,
        header: ['', 'wall s: median (min)', 'of overlayfs'],
        rows: [...rows('unpack'), ...rows('run')].map((name) => [
          name,
          medianAndMinimum(wall(name)),
          ratio(wall(name).median / wall(`${name.split(':')[0]}: overlayfs`).median),
        ]),
      },
      {
        title: `containerd: single calls, median ms, ${type}`,
        header: ['depth and call', ...callers(names)],
        rows: depths.flatMap((depth) =>
          ['Prepare', 'Mounts', 'Stat', 'Remove', 'four calls', 'Commit', '8 callers'].map((call) => [
            `${depth}: ${call}`,
            ...callers(names).map((caller) => figure(wall(`${caller}: ${depth} ${call}`).median * 1000)),
          ]),
        ),
      },
    );
  }
  await publish({
    name: 'containerd',
    command: `node bench/run.mjs containerd --rounds ${rounds}${busy ? ' --busy' : ''}`,
    aims,
    tables,
    charts: [],
    samples: all,
  });
}

const callers = (names) => [
  ...new Set(names.filter((name) => / \d+ four calls$/.test(name)).map((name) => name.split(':')[0])),
];

/** A containerd of its own on a file system of its own. */
async function withContainerd(type, use) {
  return withFileSystem(type, async (directory) => {
    const host = await startContainerd(join(directory, 'host'));
    try {
      return await use(host, directory);
    } finally {
      await host.stop();
    }
  });
}

function unpackSide(type, image, { label, snapshotter, sync }) {
  const name = `unpack ${image.compression}: ${label}`;
  const take = () =>
    withContainerd(type, async ({ ctr, socket, measureClient }, directory) => {
      await ctr('images', 'import', '--no-unpack', image.dockerArchive);
      const listed = (await ctr('images', 'ls')).split('\n')[1] ?? '';
      const digest = /sha256:[0-9a-f]{64}/.exec(listed)?.[0] ?? '';
      await run(['sync', '-f', directory]);
      const unpack = ['ctr', '--address', socket, 'snapshots', '--snapshotter', snapshotter, 'unpack', digest];
      const line = sync ? '"$@" && sync -f "$0"' : '"$@"';
      return { [name]: await measureClient(['sh', '-c', line, directory, ...unpack]) };
    });
  return { label: name, take };
}

function runSide(type, image, snapshotter) {
  const name = `run: ${snapshotter}`;
  const take = () =>
    withContainerd(type, async ({ ctr, socket, measureClient }, directory) => {
      await ctr('images', 'import', '--snapshotter', snapshotter, image.dockerArchive);
      const reference = (await ctr('images', 'ls', '-q')).trim();
      const start = [
        'ctr',
        '--address',
        socket,
        'run',
        '--rm',
        '--runc-root',
        join(directory, 'runc'),
        '--snapshotter',
        snapshotter,
      ];
      const line = 'n=$1; shift; for i in $(seq "$n"); do "$@" "bench-$i" /bin/true; done';
      const argv = ['sh', '-c', line, 'sh', String(runTimes), ...start, reference];
      await run(['sh', '-c', line, 'sh', '1', ...start, reference]);
      const sample = await measureClient(argv);
      // Shims and runc leave the daemon's tree: what they work cannot be told from what others do.
      return { [name]: { ...sample, wall: sample.wall / runTimes, busy: sample.cpu } };
    });
  return { label: name, take };
}

async function callSides(type, note) {
  const through = ['overlayfs', 'layerstore'].map((snapshotter) => ({
    label: snapshotter,
    take: () =>
      withContainerd(type, ({ socket }) =>
        named(snapshotter, timeCalls({ socket, snapshotter, depths, times: callTimes })),
      ),
  }));
  const overlayServer = await buildOverlayServer(note);
  if (overlayServer === undefined) return through;
  return [
    ...through,
    {
      label: 'layerstore server',
      take: () =>
        withContainerd(type, ({ direct }) =>
          named(
            'layerstore server',
            timeCalls({ socket: direct('layerstore'), snapshotter: 'bench', depths, times: callTimes }),
          ),
        ),
    },
    {
      label: 'overlay server',
      take: () =>
        withFileSystem(type, async (directory) => {
          const socket = join(directory, 'overlay.sock');
          const server = await startDaemon([overlayServer, socket, join(directory, 'root')], () => existsSync(socket));
          try {
            return await named('overlay server', timeCalls({ socket, snapshotter: 'bench', depths, times: callTimes }));
          } finally {
            await server.stop();
          }
        }),
    },
  ];
}

async function named(side, timing) {
  return Object.fromEntries(Object.entries(await timing).map(([name, sample]) => [`${side}: ${name}`, sample]));
}

/** The stock snapshotter behind a socket, as a plugin would be; `undefined` where Go or containerd's sources are missing. */
async function buildOverlayServer(note) {
  const sources = '/usr/share/gocode/src/github.com/containerd/containerd';
  if (!isInstalled('go') || !existsSync(sources)) {
    note(
      'golang-go or golang-github-containerd-containerd-dev is not installed: the stock snapshotter behind a socket is left out',
    );
    return undefined;
  }
  const { cache } = await import('./inputs.mjs');
  const place = join(cache(), 'overlay-server');
  const target = join(place, 'overlay-server');
  if (existsSync(target)) return target;
  mkdirSync(join(place, 'src'), { recursive: true });
  await run(['cp', '-r', new URL('overlay-server', import.meta.url).pathname, join(place, 'src')]);
  await run(['go', 'build', '-o', target, 'overlay-server'], {
    env: { ...process.env, GO111MODULE: 'off', GOPATH: `${place}:/usr/share/gocode` },
  });
  return target;
}
