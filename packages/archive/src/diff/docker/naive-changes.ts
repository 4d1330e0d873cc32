/**
 * What Docker's naive comparison finds between two complete trees: by status alone, so an edit that keeps size and
 * second is not seen. For archives that must equal Docker's; everything else uses {@link Comparison}.
 */
import type { FileStatus } from '@layerstore/linux';
import { inodeKey, isDirectory } from '../../tree/file-kind.js';
import { joinPath, ROOT } from '../../tree/paths.js';
import type { TreeFiles } from '../../tree/tree-files.js';

export type NaiveChange =
  | { readonly kind: 'delete'; readonly path: Buffer }
  | { readonly kind: 'write'; readonly path: Buffer; readonly status: FileStatus };

/** In the order of Docker's archives: by the bytes of whole paths, in which a slash counts like any character. */
export function naiveChanges(upper: TreeFiles, lower: TreeFiles): NaiveChange[] {
  return [...new NaiveComparison(upper, lower).inDirectory(ROOT, true)].sort((one, other) =>
    Buffer.compare(one.path, other.path),
  );
}

class NaiveComparison {
  constructor(
    private readonly upper: TreeFiles,
    private readonly lower: TreeFiles,
  ) {}

  *inDirectory(directory: Buffer, inBoth: boolean): Iterable<NaiveChange> {
    const names = new Map<string, Buffer>();
    for (const name of this.upper.names(directory)) names.set(name.toString('latin1'), name);
    if (inBoth) for (const name of this.lower.names(directory)) names.set(name.toString('latin1'), name);
    for (const name of names.values()) {
      const path = joinPath(directory, name);
      const old = inBoth ? this.lower.status(path) : undefined;
      const now = this.upper.status(path);
      if (now !== undefined) yield* this.#entry(path, now, old);
      else if (old !== undefined) yield { kind: 'delete', path };
    }
  }

  /** A directory in which something changed is written too, before it. */
  *#entry(path: Buffer, status: FileStatus, old: FileStatus | undefined): Iterable<NaiveChange> {
    if (old !== undefined && inodeKey(status) === inodeKey(old)) return;
    const write: NaiveChange = { kind: 'write', path, status };
    let pending = old !== undefined && !this.#differs(path, status, old) ? write : undefined;
    if (pending === undefined) yield write;
    if (!isDirectory(status)) return;
    for (const change of this.inDirectory(path, isDirectory(old))) {
      if (pending !== undefined) yield pending;
      pending = undefined;
      yield change;
    }
  }

  #differs(path: Buffer, one: FileStatus, other: FileStatus): boolean {
    if (one.mode !== other.mode || one.uid !== other.uid || one.gid !== other.gid) return true;
    if (one.specialMajor !== other.specialMajor || one.specialMinor !== other.specialMinor) return true;
    const looksLikeDirectory = (other.mode & S_IFDIR) === S_IFDIR;
    if (!looksLikeDirectory && (one.size !== other.size || !sameTime(one.modifiedNs, other.modifiedNs))) return true;
    return !sameBytes(this.upper.xattr(path, capability), this.lower.xattr(path, capability));
  }
}

/** As a bit, which block devices and sockets have as well: Docker does not look at their times. */
const S_IFDIR = 0o040000;
const capability = 'security.capability';

/** A time without fraction comes from a tar and equals every time of its second. */
function sameTime(one: bigint, other: bigint): boolean {
  const second = 1_000_000_000n;
  return one === other || (one / second === other / second && (one % second === 0n || other % second === 0n));
}

function sameBytes(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return (one ?? Buffer.alloc(0)).equals(other ?? Buffer.alloc(0));
}
