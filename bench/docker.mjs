// dockerd on the plugin next to dockerd on its own overlay2, and the cost of a call of the plugin protocol.
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { docker as client, dockerIsInstalled, startDockerd } from './dockerd.mjs';
import { withFileSystem } from './file-systems.mjs';
import { debianImage, warm } from './inputs.mjs';
import { startPlugin } from './layerstore-plugin.mjs';
import { measure, run, summary } from './measure.mjs';
import { medianAndMinimum, publish, ratio } from './report.mjs';
import { takeTurns } from './rounds.mjs';

/** What is measured, and how much of the time of dockerd's own driver it may take. */
const works = { load: 1, 'run --rm': 1.1, 'build, 20 steps': 1.1, commit: 1 };

const sides = ['layerstore plugin', "dockerd's overlay2"];
const [ours, theirs] = sides;

const runsInSample = 5;
const calls = 3000;

/** @param {import('./run.mjs').Options} options */
export async function docker({ rounds, on, note, busy }) {
  if (!dockerIsInstalled()) throw new Error('docker.io is not installed');
  const image = await debianImage({ compression: 'gzip' });
  await warm(image);
  const results = [];
  for (const fileSystem of on) {
    const samples = await takeTurns(
      sides.map((side) => ({
        label: `${side}, ${fileSystem}`,
        take: () => withFileSystem(fileSystem, (directory) => oneEngine(side, directory, image.dockerArchive)),
      })),
      { rounds, busy, note },
    );
    results.push({ fileSystem, samples });
  }
  note('cost of a call');
  const cost = await withFileSystem('tmpfs', costOfCall);
  await publish({
    name: 'docker',
    command: `node bench/run.mjs docker --rounds ${rounds}`,
    aims: [...results.flatMap(aims), costAim(cost)],
    tables: results.map(({ fileSystem, samples }) => ({
      title: `docker: on ${fileSystem}`,
      header: ['', `${ours}, wall s: median (min)`, `${theirs}, wall s: median (min)`, 'ratio of medians'],
      rows: Object.keys(works).map((work) => row(work, samples)),
    })),
    charts: [],
    samples: { results, cost },
  });
}

const wall = (samples, side, work) => summary(samples[`${side}: ${work}`].map((sample) => sample.wall));

function row(work, samples) {
  const [own, other] = [wall(samples, ours, work), wall(samples, theirs, work)];
  return [work, medianAndMinimum(own), medianAndMinimum(other), ratio(own.median / other.median)];
}

function aims({ fileSystem, samples }) {
  return Object.entries(works).map(([work, limit]) => {
    const reached = wall(samples, ours, work).median / wall(samples, theirs, work).median;
    return {
      aim: `${work} on ${fileSystem}: ${limit === 1 ? 'less than' : `at most ${limit} of`} dockerd's overlay2`,
      reached: ratio(reached),
      met: limit === 1 ? reached < 1 : reached <= limit,
    };
  });
}

function costAim({ call, driver }) {
  const microseconds = (call - driver) * 1e6;
  return {
    aim: "a call costs less than 100 us beyond the driver's own work",
    reached: `${microseconds.toFixed(0)} us`,
    met: microseconds < 100,
  };
}

/** One engine from its start to its end. */
async function oneEngine(side, directory, archive) {
  const plugin = side === ours ? await startPlugin(join(directory, 'p'), 'overlay2') : undefined;
  const place = join(directory, 'd');
  mkdirSync(place);
  const daemon = await startDockerd(
    place,
    plugin === undefined ? {} : { driver: plugin.name, arguments: ['--experimental'] },
  );
  const processors = () => daemon.cpu() + (plugin?.cpu() ?? 0);
  const call = (...argv) => [client, '--host', daemon.socket, ...argv];
  const sample = async (argv, times = 1) => {
    const before = processors();
    const measured = await measure(argv);
    const cpu = measured.cpu + processors() - before;
    return { ...measured, wall: measured.wall / times, cpu: cpu / times, busy: measured.busy / times };
  };
  try {
    const found = {};
    found.load = await sample(call('load', '--quiet', '--input', archive));
    const [reference] = (await run(call('images', '--format', '{{.ID}}'))).split('\n');
    const once = call('run', '--rm', '--network=none', reference, 'true');
    await run(once);
    found['run --rm'] = await sample(
      ['sh', '-c', `for i in $(seq ${runsInSample}); do "$@" || exit; done`, 'sh', ...once],
      runsInSample,
    );
    found['build, 20 steps'] = await sample(call('build', '--quiet', '--network=none', context(directory, reference)));
    const copy = 'cp -a /usr/share /usr/lib /srv/';
    await run(call('run', '--name', 'box', '--network=none', reference, 'sh', '-c', copy));
    found.commit = await sample(call('commit', 'box'));
    return Object.fromEntries(Object.entries(found).map(([work, taken]) => [`${side}: ${work}`, taken]));
  } finally {
    await daemon.stop();
    await plugin?.stop();
  }
}

function context(directory, reference) {
  const place = join(directory, 'context');
  mkdirSync(place);
  writeFileSync(join(place, 'file'), 'file\n');
  const steps = Array.from({ length: 20 }, (_, step) =>
    step % 2 === 0 ? `COPY file /srv/copied-${step}` : `RUN echo ${step} > /srv/made-${step}`,
  );
  writeFileSync(join(place, 'Dockerfile'), [`FROM ${reference}`, ...steps, ''].join('\n'));
  return place;
}

/** Seconds for a call through the socket, and for the same work of the driver. */
async function costOfCall(directory) {
  const plugin = await startPlugin(join(directory, 'p'), 'overlay2');
  try {
    const socket = connect(plugin.socket);
    const home = join(directory, 'home');
    await exchange(socket, 'Init', { Home: home });
    await exchange(socket, 'Create', { ID: 'layer' });
    const perCall = await mean(() => exchange(socket, 'Exists', { ID: 'layer' }));
    socket.destroy();
    await plugin.stop();
    const { openDriver } = await import('../packages/drivers/dist/index.js');
    const { Mounter } = await import('../packages/linux/dist/index.js');
    const driver = await openDriver('overlay2', home, { mounter: new Mounter() });
    return { call: perCall, driver: await mean(() => driver.exists('layer')) };
  } finally {
    await plugin.stop();
  }
}

async function mean(work) {
  for (let warmUp = 0; warmUp < calls / 3; warmUp += 1) await work();
  const started = process.hrtime.bigint();
  for (let number = 0; number < calls; number += 1) await work();
  return Number(process.hrtime.bigint() - started) / 1e9 / calls;
}

/** The least that a client can do: one write, and the answer in one piece. */
function exchange(socket, method, body) {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    socket.once('data', (data) => {
      if (data.includes('HTTP/1.1 200')) resolve(data);
      else reject(new Error(data.toString()));
    });
    socket.write(
      `POST /GraphDriver.${method} HTTP/1.1\r\nHost: \r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
  });
}
