// What a change costs: listing and committing 1 and 1,000 changed files of a Debian container, next to `buildah commit`.
import { appendFileSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LayerStore } from 'layerstore';
import { figure } from './chart.mjs';
import { withFileSystem } from './file-systems.mjs';
import { debianImage } from './inputs.mjs';
import { isInstalled, measure, measureCall, run, summary } from './measure.mjs';
import { containersEnvironment, layerstore } from './peers.mjs';
import { medianAndMinimum, publish, ratio } from './report.mjs';
import { takeTurns } from './rounds.mjs';

const counts = [1, 1000];
const names = {
  callDiff: 'containers.changes()',
  callCommit: 'containers.commit()',
  commandDiff: 'layerstore diff',
  commandCommit: 'layerstore commit',
  buildah: 'buildah commit',
};

/** @param {import('./run.mjs').Options} options */
export async function change({ rounds, on, note, busy }) {
  const image = await debianImage({ compression: 'gzip' });
  const results = [];
  for (const fileSystem of on) {
    results.push(
      ...(await withFileSystem(fileSystem, async (directory) => {
        const machines = [await layerstoreSide(directory, image)];
        if (isInstalled('buildah')) machines.push(await buildahSide(directory, image));
        const found = [];
        for (const count of counts) {
          const sides = machines.map(({ label, round }) => ({
            label,
            take: (number) => round(count, `${count}-${number}`),
          }));
          const samples = await takeTurns(sides, {
            rounds,
            warmUp: 1,
            busy,
            note: (text) => note(`${count} changed, ${fileSystem}, ${text}`),
          });
          found.push({ count, fileSystem, samples });
        }
        for (const { end } of machines) await end();
        return found;
      })),
    );
  }
  await publish({
    name: 'change',
    command: `node bench/run.mjs change --rounds ${rounds}`,
    aims: results.flatMap(aims),
    tables: results.map(({ count, fileSystem, samples }) => ({
      title: `change: ${count.toLocaleString('en')} changed, ${fileSystem}`,
      header: ['', 'wall ms: median (min)', 'of buildah commit', 'CPU ms: median (min)'],
      rows: Object.entries(samples).map(([name, list]) => [
        `\`${name}\``,
        medianAndMinimum(milliseconds(list, 'wall')),
        ratio(milliseconds(list, 'wall').median / milliseconds(samples[names.buildah], 'wall').median),
        medianAndMinimum(milliseconds(list, 'cpu')),
      ]),
    })),
    charts: [
      {
        file: 'change',
        title: 'Listing and committing changes of a Debian container: median; tick: minimum',
        unit: 'ms',
        panels: results.map(({ count, fileSystem, samples }) => ({
          title: `${count.toLocaleString('en')} changed, ${fileSystem}`,
          bars: Object.entries(samples).map(([name, list]) => {
            const { median, minimum } = milliseconds(list, 'wall');
            return { label: name, value: median, minimum, ours: name !== names.buildah };
          }),
        })),
      },
    ],
    samples: results,
  });
}

const milliseconds = (list, key) => summary(list.map((sample) => sample[key] * 1000));

function aims({ count, fileSystem, samples }) {
  const median = (name) => milliseconds(samples[name], 'wall').median;
  const against = (name, limit) => {
    const reached = median(name) / median(names.buildah);
    return {
      aim: `\`${name}\`, ${count.toLocaleString('en')} changed, ${fileSystem}: ${limit === 1 ? 'no slower than' : `under ${limit} of`} buildah commit`,
      reached: figure(reached),
      met: reached < limit,
    };
  };
  return [
    against(names.callDiff, 0.25),
    against(names.callCommit, 0.25),
    against(names.commandDiff, 1),
    against(names.commandCommit, 1),
  ];
}

async function layerstoreSide(directory, image) {
  const root = join(directory, 'layerstore');
  const store = await LayerStore.open({ root });
  const [{ id } = { id: '' }] = await store.images.load({ path: image.ociLayout });
  const cli = (...argv) => measure([...layerstore, '--root', root, '--progress', 'none', ...argv]);
  return {
    label: 'layerstore',
    async round(count, name) {
      const container = await changed(`call-${name}`, count);
      const taken = {
        [names.callDiff]: await measureCall(() => store.containers.changes(container)),
        [names.callCommit]: await measureCall(() => store.containers.commit(container, `call:${name}`)),
      };
      await store.containers.remove(container, { force: true });
      const other = await changed(`command-${name}`, count);
      taken[names.commandDiff] = await cli('diff', other);
      taken[names.commandCommit] = await cli('commit', other, `command:${name}`);
      await store.containers.remove(other, { force: true });
      return taken;
    },
    end: () => store.close(),
  };

  async function changed(name, count) {
    await store.containers.create(id, { name });
    const mounted = await store.containers.mount(name);
    await changeFiles(mounted.path, count, name);
    return name;
  }
}

async function buildahSide(directory, image) {
  const place = join(directory, 'buildah');
  mkdirSync(place);
  const env = containersEnvironment(place);
  const storage = ['--root', join(place, 'storage'), '--runroot', join(place, 'run'), '--storage-driver', 'overlay'];
  const buildah = (...argv) => run(['buildah', ...storage, ...argv], { env });
  const base = (await buildah('pull', '--quiet', `oci:${image.ociLayout}:latest`)).trim();
  return {
    label: 'buildah',
    async round(count, name) {
      const container = `box-${name}`;
      await buildah('from', '--name', container, base);
      await changeFiles((await buildah('mount', container)).trim(), count, name);
      const sample = await measure(['buildah', ...storage, 'commit', '--quiet', container, `localhost/bench:${name}`], {
        env,
      });
      await buildah('umount', container);
      await buildah('rm', container);
      return { [names.buildah]: sample };
    },
    end: () => buildah('umount', '--all'),
  };
}

/**
 * Appends to small files of a container, other content in each round, so that no layer is known already. What the file
 * system still has to write belongs to the change, not to the commit: it is written before the clock starts.
 */
async function changeFiles(view, count, text) {
  for (const path of smallFiles(join(view, 'usr/share'), count)) appendFileSync(path, `${text}\n`);
  await run(['sync', '-f', view]);
}

function smallFiles(directory, count) {
  const found = [];
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (found.length === count) return found;
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && lstatSync(path).size <= 16384) found.push(path);
  }
  throw new Error(`${directory} has only ${found.length} small files`);
}
