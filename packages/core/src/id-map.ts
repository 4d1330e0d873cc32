/**
 * Owners as a container sees them and as the host keeps them, as in user_namespaces(7), `uid_map`.
 */
import { StoreError } from './store-error.js';

export interface IdRange {
  /** First id inside. */
  readonly container: number;
  /** First id on the host. */
  readonly host: number;
  /** Number of ids, at least 1. */
  readonly size: number;
}

export interface IdMaps {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The kernel's limit for the lines of a map (user_namespaces(7)). */
const maxRanges = 340;
/** The greatest id is no owner: chown(2) takes -1 as "leave it". */
const endOfIds = 0xffffffff;

/**
 * Checks maps that an engine or a user passed, as the kernel does: no range is empty, beyond the ids that exist, or meets
 * another one on either side; the container's root has a counterpart, because it owns what drivers make.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function checkIdMaps(maps: IdMaps): void {
  checkRanges('uid', maps.uids);
  checkRanges('gid', maps.gids);
}

function checkRanges(kind: string, ranges: readonly IdRange[]): void {
  if (ranges.length > maxRanges)
    throw invalid(`the ${kind} map has ${ranges.length} ranges, at most ${maxRanges} work`);
  for (const [index, range] of ranges.entries()) {
    const { container, host, size } = range;
    const shown = `${container}:${host}:${size}`;
    if (size < 1 || ![container, host].every((first) => isRange(first, size))) {
      throw invalid(`the ${kind} range ${shown} is not one of ids`);
    }
    const meets = ranges.slice(0, index).some((other) => overlap(range, other));
    if (meets) throw invalid(`the ${kind} range ${shown} overlaps another one`);
  }
  if (translate(ranges, 0, 'container', 'host') === undefined) throw invalid(`the ${kind} map leaves out id 0`);
}

function isRange(first: number, size: number): boolean {
  return [first, size].every((number) => Number.isSafeInteger(number)) && first >= 0 && first + size <= endOfIds;
}

function overlap(one: IdRange, other: IdRange): boolean {
  return (['container', 'host'] as const).some(
    (side) => one[side] < other[side] + other.size && other[side] < one[side] + one.size,
  );
}

/**
 * The owner on the host of what `owner` has in a container; the same where there are no maps.
 * @throws StoreError ERR_ID_NOT_MAPPED
 */
export function toHost(maps: IdMaps | undefined, owner: Owner): Owner {
  return maps === undefined ? owner : translateOwner(maps, owner, 'container', 'host');
}

/** The reverse of {@link toHost}. @throws StoreError ERR_ID_NOT_MAPPED */
export function toContainer(maps: IdMaps | undefined, owner: Owner): Owner {
  return maps === undefined ? owner : translateOwner(maps, owner, 'host', 'container');
}

/** The owner on the host of what the container's root has. */
export function hostRoot(maps: IdMaps | undefined): Owner {
  return toHost(maps, { uid: 0, gid: 0 });
}

type Side = 'container' | 'host';

function translateOwner(maps: IdMaps, owner: Owner, from: Side, to: Side): Owner {
  const uid = translate(maps.uids, owner.uid, from, to);
  const gid = translate(maps.gids, owner.gid, from, to);
  if (uid !== undefined && gid !== undefined) return { uid, gid };
  throw new StoreError(
    'ERR_ID_NOT_MAPPED',
    `the owner ${owner.uid}:${owner.gid} has no counterpart ${to === 'host' ? 'on the host' : 'in the container'}`,
    { hint: 'widen the id maps' },
  );
}

function translate(ranges: readonly IdRange[], id: number, from: Side, to: Side): number | undefined {
  const range = ranges.find((each) => id >= each[from] && id < each[from] + each.size);
  return range === undefined ? undefined : id - range[from] + range[to];
}

function invalid(reason: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', reason, {
    subject: 'id maps',
    hint: 'give ranges as in /proc/PID/uid_map: first id inside, first id on the host, number of ids',
  });
}
