import type { DiffSource } from '../layer-tree.js';
import { fileKind, inodeKey } from '../tree/file-kind.js';
import { Comparison, type ComparisonOptions, type Difference } from './comparison.js';
import { withParents } from './with-parents.js';

/** One line of `docker diff`. */
export interface Change {
  /** Absolute in the view, for example `/etc/passwd`. */
  readonly path: Buffer;
  readonly kind: 'add' | 'modify' | 'delete';
}

/**
 * What a layer changes, sorted by path component by component. Directories that hold a change are listed as modified;
 * directories of which only the time changed are not. Deleted directories are listed without what they held.
 *
 * Costs a status call per entry of the upper and contributing lower layer; content is read only where size and
 * time tie. Can be asked while a container runs.
 * @throws StoreError ERR_IO, ERR_STORE_DAMAGED, ERR_LIMIT_EXCEEDED (paths over 4095 bytes)
 */
export function* findChanges(source: DiffSource, options: ComparisonOptions = {}): Iterable<Change> {
  using comparison = new Comparison(source, 'listing', options);
  for (const { path, kind } of withParents(comparison.differences(), isChange)) {
    if (path.length === 0) continue;
    yield { path: Buffer.concat([slash, path]), kind: kind === 'same' || kind === 'time' ? 'modify' : kind };
  }
}

const slash = Buffer.from('/');

function isChange({ kind }: Difference): boolean {
  return kind === 'add' || kind === 'modify' || kind === 'delete';
}

/**
 * What a size counts. `content`: bytes of file content, the sizes in the headers of a layer tar. `lstat`: `st_size` of
 * everything but directories, so the length of a symlink's target too.
 */
export type SizeCount = 'content' | 'lstat';

/**
 * The size of what {@link writeDiff} would write: of what is new or changed, each inode once.
 * Costs as much as {@link findChanges}.
 */
export function diffSize(source: DiffSource, options: ComparisonOptions & { readonly count?: SizeCount } = {}): number {
  const { count = 'content' } = options;
  using comparison = new Comparison(source, 'layer', options);
  const counted = new Set<string>();
  let size = 0;
  for (const difference of comparison.differences()) {
    if (difference.kind === 'delete') continue;
    const { status } = difference.entry;
    const kind = fileKind(status);
    if (kind === 'directory' || (kind !== 'file' && count === 'content')) continue;
    if (status.links > 1) {
      const key = inodeKey(status);
      if (counted.has(key)) continue;
      counted.add(key);
    }
    size += status.size;
  }
  return size;
}
