/**
 * The option text of aufs mounts: what each call of mount(2) is given, byte for byte as Docker's driver builds it.
 *
 * The first call names as many branches as fit, later ones append the rest: the kernel passes on one page and cuts off
 * what is longer, which aufs then misreads without an error.
 */
import { StoreError } from '@layerstore/core';
import type { AufsPlan } from '../mount-plan.js';
import { splitOption } from './overlay-options.js';

/** More than about this many branches and options in one call run into a bug of aufs that panics the kernel. */
const MAX_PER_CALL = 80;
/** CONFIG_AUFS_BRANCH_MAX_127, which every distribution used. */
export const MAX_AUFS_BRANCHES = 127;
const PAGE_BYTES = 4096;
/** What Docker leaves for the options beside branches and label. */
const RESERVED_BYTES = 54;
/** The file of inode numbers is unlinked at once, so every mount can name the same. */
export const INODE_NUMBERS = 'xino=/dev/shm/aufs.xino';

/** The data of the mount, and then of each remount that appends the next branches. @throws StoreError ERR_MAX_DEPTH, ERR_MOUNT_FAILED */
export function aufsMountData(plan: AufsPlan): readonly [string, ...string[]] {
  const { branches } = plan;
  if (branches.length > MAX_AUFS_BRANCHES) {
    throw new StoreError(
      'ERR_MAX_DEPTH',
      `the view has ${branches.length} branches; aufs takes at most ${MAX_AUFS_BRANCHES}`,
    );
  }
  for (const branch of branches) refuseCharacters(branch);
  const label = plan.options.filter(isLabel);
  const options = ['dio', INODE_NUMBERS, ...plan.options.filter((option) => !isLabel(option))];
  const room = PAGE_BYTES - RESERVED_BYTES - reserved(plan.options);
  const [top = '', ...lower] = branches;

  const first = [`br:${top}=${plan.writable ? 'rw' : 'ro+wh'}`];
  refuseLength(top, first, room);
  const fitting = take(
    lower,
    (path) => `:${path}=ro+wh`,
    room - bytes(first),
    MAX_PER_CALL - 1 - options.length - label.length,
  );
  const mount = [first.concat(fitting).join(''), ...options, ...label].join(',');

  const remounts: string[] = [];
  for (let next = fitting.length; next < lower.length;) {
    const batch = take(lower.slice(next), appended, room, MAX_PER_CALL - label.length);
    if (batch.length === 0) refuseLength(lower[next] ?? '', [appended(lower[next] ?? '')], room);
    remounts.push([batch.join(''), ...label].join(','));
    next += batch.length;
  }
  return [mount, ...remounts];
}

function appended(path: string): string {
  return `append:${path}=ro+wh,`;
}

/** The texts of as many paths from the start of the list as fit. */
function take(paths: readonly string[], text: (path: string) => string, room: number, most: number): string[] {
  const taken: string[] = [];
  let left = room;
  for (const path of paths.slice(0, most)) {
    const next = text(path);
    left -= Buffer.byteLength(next);
    if (left < 0) break;
    taken.push(next);
  }
  return taken;
}

function reserved(options: readonly string[]): number {
  const label = options.find(isLabel);
  const labelBytes = label === undefined ? 0 : Buffer.byteLength(splitOption(label).value ?? '');
  const others = options.filter((option) => !isLabel(option));
  return labelBytes + bytes(others.map((option) => `,${option}`));
}

function bytes(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function isLabel(option: string): boolean {
  return option.startsWith('context=');
}

/** There is no way to escape them (aufs 6.1, measured). */
function refuseCharacters(branch: string): void {
  const found = /[:,=]/.exec(branch)?.[0];
  if (found === undefined) return;
  throw new StoreError('ERR_MOUNT_FAILED', `aufs cannot be given a path with ${JSON.stringify(found)} in it`, {
    subject: branch,
    hint: 'move the home to a path without `:`, `,` and `=`',
  });
}

function refuseLength(branch: string, text: readonly string[], room: number): void {
  const size = bytes(text);
  if (size <= room) return;
  throw new StoreError('ERR_MOUNT_FAILED', `the branch takes ${size} bytes of mount options, ${room} are to be had`, {
    subject: branch,
    hint: 'move the home to a shorter path',
  });
}
