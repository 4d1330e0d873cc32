// Create, mount, unmount and remove a container's layer over 0, 49 and 126 others: by calls of each driver, and by
// commands next to those of podman, buildah and fuse-overlayfs.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { undoLater } from './cleanup.mjs';
import { driverNames, MeasuredHome, over } from './driver-homes.mjs';
import { unmountTree } from './file-systems.mjs';
import { deepImage } from './inputs.mjs';
import { isInstalled, measure, measureCall, run } from './measure.mjs';
import { containersEnvironment, layerstore } from './peers.mjs';
import { takeTurns } from './rounds.mjs';

export const depths = [1, 50, 127];
/** Calls are too short for the clock of the kernel: a sample is of so many. */
export const repeats = 20;

/**
 * @param {string} directory
 * @param {import('./run.mjs').Options} options
 */
export async function measureStacks(directory, { rounds, busy, note }) {
  const image = await deepImage(Math.max(...depths) - 1);
  const found = [];
  for (const depth of depths) {
    const place = join(directory, `depth-${depth}`);
    mkdirSync(place);
    const tars = image.layers.slice(0, depth - 1).map(({ tar }) => tar);
    const sides = [];
    for (const name of driverNames) {
      note(`${depth} layers, filling a home of ${name}`);
      sides.push(await driverSide(name, place, tars));
    }
    sides.push(...(await commandSides(place, tars)));
    const samples = await takeTurns(sides, {
      rounds,
      warmUp: 1,
      busy,
      note: (text) => note(`${depth} layers, ${text}`),
    });
    for (const { end } of sides) await end();
    found.push({ depth, samples });
  }
  return found;
}

async function driverSide(name, place, tars) {
  const home = await MeasuredHome.open(name, place);
  const parent = await home.stack('layer', tars);
  const each = (round, work) =>
    measureCall(async () => {
      for (let index = 0; index < repeats; index += 1) await work(`box-${round}-${index}`);
    });
  return {
    label: name,
    take: async (round) => ({
      [`${name} create`]: await each(round, (id) => home.driver.createReadWrite(id, over(parent))),
      [`${name} mount`]: await each(round, (id) => home.views.mount(id)),
      [`${name} unmount`]: await each(round, (id) => home.views.unmount(id)),
      [`${name} remove`]: await each(round, (id) => home.driver.remove(id)),
    }),
    end: () => home.close(),
  };
}

/** The same as commands: what a person waits for. */
async function commandSides(place, tars) {
  const sides = [await layerCommandSide(place, tars)];
  if (isInstalled('fuse-overlayfs') && tars.length > 0) sides.push(fuseSide(place, tars));
  if (tars.length === 0) return sides;
  for (const program of ['podman', 'buildah']) {
    if (isInstalled(program)) sides.push(await containersSide(program, place, tars.length));
  }
  return sides;
}

async function layerCommandSide(place, tars) {
  const home = await MeasuredHome.open('overlay2', join(place, 'commands'));
  const parent = await home.stack('layer', tars);
  await home.driver.createReadWrite('box', over(parent));
  await home.close();
  const layer = (verb) =>
    measure([...layerstore, 'layer', verb, '--home', home.driver.home, '--driver', 'overlay2', 'box']);
  return {
    label: 'layerstore layer',
    take: async () => ({
      '`layerstore layer mount`': await layer('mount'),
      '`layerstore layer unmount`': await layer('unmount'),
    }),
    end: () => undefined,
  };
}

/** Over the directories of the home that {@link layerCommandSide} has filled. */
function fuseSide(place, tars) {
  const home = join(place, 'commands', 'overlay2');
  const lowers = tars.map((_, index) => join(home, `layer-${index}`, 'diff')).reverse();
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(place, `fuse-${name}`));
  for (const path of [upper, work, merged]) mkdirSync(path);
  const options = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work}`;
  return {
    label: 'fuse-overlayfs',
    take: async () => ({
      '`fuse-overlayfs`': await measure(['fuse-overlayfs', '-o', options, merged]),
      '`umount` of fuse-overlayfs': await measure(['umount', merged]),
    }),
    end: () => undefined,
  };
}

async function containersSide(program, place, depth) {
  const directory = join(place, program);
  mkdirSync(directory);
  const env = containersEnvironment(directory);
  // podman takes no longer path than 50 characters for what lives as long as the machine runs.
  const runtime = mkdtempSync('/run/layerstore-bench-');
  const removeRuntime = undoLater(async () => {
    await unmountTree(runtime);
    rmSync(runtime, { recursive: true });
  });
  const storage = [
    '--root',
    join(directory, 'storage'),
    '--runroot',
    join(runtime, 'run'),
    '--storage-driver',
    'overlay',
  ];
  const argv = [program, ...storage, ...(program === 'podman' ? ['--tmpdir', join(runtime, 'tmp')] : [])];
  const { ociLayout } = await deepImage(depth);
  const image = (await run([...argv, 'pull', '--quiet', `oci:${ociLayout}:latest`], { env })).trim();
  const make = program === 'podman' ? ['create', image] : ['from', image];
  return {
    label: program,
    take: async () => {
      // A container for each round: buildah mounts with `volatile`, which the kernel allows once for an upper.
      const container = (await run([...argv, ...make], { env })).trim();
      const taken = {
        [`\`${program} mount\``]: await measure([...argv, 'mount', container], { env }),
        [`\`${program} umount\``]: await measure([...argv, 'umount', container], { env }),
      };
      await run([...argv, 'rm', container], { env });
      return taken;
    },
    end: async () => {
      // Its own directory is mounted on itself.
      await unmountTree(join(directory, 'storage'));
      await removeRuntime();
    },
  };
}
