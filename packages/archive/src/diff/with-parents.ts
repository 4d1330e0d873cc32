import { isDirectory } from '../tree/file-kind.js';
import type { Difference, Presence } from './comparison.js';

/**
 * Leaves only the differences that count, and the directories that lead to them: a layer names the parents of what it
 * changes, because programs that unpack it would otherwise make them with attributes of their own.
 */
export function* withParents(
  differences: Iterable<Difference>,
  counts: (difference: Difference) => boolean,
): Iterable<Difference> {
  /** Directories on the way to the current path that have not been told. */
  let pending: Presence[] = [];
  for (const difference of differences) {
    pending = pending.filter(({ path }) => isInside(difference.path, path));
    if (counts(difference)) {
      yield* pending;
      pending = [];
      yield difference;
    } else if (difference.kind !== 'delete' && isDirectory(difference.entry.status)) {
      pending.push(difference);
    }
  }
}

const SLASH = 0x2f;

function isInside(path: Buffer, directory: Buffer): boolean {
  if (directory.length === 0) return true;
  return path[directory.length] === SLASH && path.subarray(0, directory.length).equals(directory);
}
