// What a view costs to read: every file of 127 layers, the writable one counted, and a walk of a Debian tree with deleted names and opaque directories,
// the first after mounting and the next.
import { readdirSync, readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { driverNames, MeasuredHome } from './driver-homes.mjs';
import { deepImage, editedDebian } from './inputs.mjs';
import { isInstalled, measureCall, run } from './measure.mjs';
import { takeTurns } from './rounds.mjs';

/**
 * @param {string} directory
 * @param {import('./run.mjs').Options} options
 */
export async function measureReads(directory, { rounds, busy, note }) {
  const inputs = { deep: (await deepImage(126)).layers.map(({ tar }) => tar), debian: await editedDebian() };
  const sides = [];
  for (const name of driverNames) {
    const home = await MeasuredHome.open(name, directory);
    // A driver that copies trees has nothing to join.
    if (!home.driver.abilities.independentLayers) {
      await home.close();
      continue;
    }
    note(`filling a home of ${name}`);
    const tops = {
      deep: await home.stack('deep', inputs.deep),
      debian: await home.stack('debian', inputs.debian),
    };
    sides.push({
      label: name,
      take: () => readsOf(name, (stack) => mountLayer(home, tops[stack])),
      end: () => home.close(),
    });
  }
  if (isInstalled('fuse-overlayfs')) sides.push(fuseSide(directory, inputs));
  const samples = await takeTurns(sides, { rounds, warmUp: 1, busy, note });
  for (const { end } of sides) await end();
  return samples;
}

async function readsOf(name, mount) {
  const deep = await mount('deep');
  const taken = { [`${name}, read 127 layers`]: await measureCall(() => readEverything(deep.path)) };
  await deep.unmount();
  // Without a mount, nothing holds directory entries and inodes; what the disk gave stays in its cache.
  writeFileSync('/proc/sys/vm/drop_caches', '2');
  const debian = await mount('debian');
  taken[`${name}, cold walk`] = await measureCall(() => walk(debian.path));
  taken[`${name}, warm walk`] = await measureCall(() => walk(debian.path));
  await debian.unmount();
  return taken;
}

async function mountLayer(home, id) {
  // As a container sees it: with a writable layer on top.
  await home.driver.createReadWrite('reader', { parent: id });
  const path = await home.views.mount('reader');
  return {
    path,
    unmount: async () => {
      await home.views.unmount('reader');
      await home.driver.remove('reader');
    },
  };
}

/** Over the directories of the overlay2 home. */
function fuseSide(directory, inputs) {
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(directory, `fuse-${name}`));
  for (const path of [upper, work, merged]) mkdirSync(path);
  const mount = async (stack) => {
    const lowers = inputs[stack].map((_, index) => join(directory, 'overlay2', `${stack}-${index}`, 'diff')).reverse();
    await run(['fuse-overlayfs', '-o', `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work}`, merged]);
    return { path: merged, unmount: () => run(['umount', merged]) };
  };
  return { label: 'fuse-overlayfs', take: () => readsOf('fuse-overlayfs', mount), end: () => undefined };
}

/** By a program of its own, which makes no other calls than a walk needs. */
const walk = (path) => run(['find', path, '-ignore_readdir_race', '-printf', '%s']);

async function readEverything(path) {
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) readFileSync(join(entry.parentPath, entry.name));
  }
}
