// Where is measured: a tmpfs, or an ext4 that was made a moment ago, with a journal, in a file on a tmpfs. The root file
// system of a machine is never used: what it did before the run shows in the figures.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { cache } from './inputs.mjs';
import { run } from './measure.mjs';

/** @typedef {'tmpfs' | 'ext4'} FileSystem */
/** @type {readonly FileSystem[]} */
export const fileSystems = ['tmpfs', 'ext4'];

/**
 * Calls `use` with an empty directory that is a file system of its own, gone afterwards.
 * @template T
 * @param {FileSystem} type
 * @param {(directory: string) => Promise<T>} use
 * @param {{ gibibytes?: number }} [options]
 * @returns {Promise<T>}
 */
export async function withFileSystem(type, use, { gibibytes = 8 } = {}) {
  const place = mkdtempSync(join(cache(), 'work-'));
  const removePlace = undoLater(() => rmSync(place, { recursive: true }));
  const memory = join(place, 'tmpfs');
  const unmountMemory = await mount(['-t', 'tmpfs', '-o', `size=${gibibytes + 1}g`, 'tmpfs', memory], memory);
  try {
    if (type === 'tmpfs') return await use(memory);
    const image = join(memory, 'ext4.img');
    writeFileSync(image, '');
    truncateSync(image, gibibytes * 2 ** 30);
    // Without lazy initialisation, so that no kernel thread writes tables during the measurement.
    await run(['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
    const disk = join(place, 'ext4');
    const unmountDisk = await mount(['-o', 'loop', image, disk], disk);
    try {
      return await use(disk);
    } finally {
      await unmountDisk();
    }
  } finally {
    await unmountMemory();
    await removePlace();
  }
}

/**
 * @param {readonly string[]} argv
 * @param {string} target
 */
async function mount(argv, target) {
  mkdirSync(target);
  await run(['mount', ...argv]);
  return undoLater(() => unmountTree(target));
}

/** Unmounts a directory and everything below it, newest first; a program that is just ending may hold it for a moment. */
export async function unmountTree(directory) {
  for (const point of mountPoints(directory).reverse()) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await run(['umount', point]);
        break;
      } catch (error) {
        if (attempt === 20) throw error;
        await sleep(100);
      }
    }
  }
}

/** @param {string} directory */
function mountPoints(directory) {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === directory || point.startsWith(`${directory}/`));
}
