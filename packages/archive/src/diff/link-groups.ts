/**
 * Whether names share an inode in the upper as their twins do below.
 *
 * A tar has no way to say "these two were separate files and are one now" but to carry both. So a file that ties with
 * its twin in everything is nevertheless a change when the set of its names is another: all names of an inode of the
 * upper must have twins that are one inode, and no other name may share that.
 */
import type { Dialect } from '../layer-tree.js';
import type { FileStatus } from '@layerstore/linux';
import { inodeKey, isDirectory, isWhiteoutDevice } from '../tree/file-kind.js';
import { joinPath, ROOT } from '../tree/paths.js';
import type { LayerStack } from '../tree/stack.js';
import type { TreeFiles } from '../tree/tree-files.js';
import { directoryMarks, upperNames } from './upper-directory.js';

interface Leaf {
  readonly path: Buffer;
  readonly status: FileStatus;
  readonly lowerVisible: boolean;
}

interface Group {
  names: number;
  /** Inodes of the twins; empty text for a name without one. */
  readonly twins: Set<string>;
  twinLinks: number;
}

export class LinkGroups {
  #groups: Map<string, Group> | undefined;
  /** How many inodes of the upper lead to one inode below. */
  readonly #owners = new Map<string, number>();

  constructor(
    private readonly dialect: Dialect,
    private readonly upper: TreeFiles,
    private readonly lower: LayerStack,
    private readonly onStep: () => void,
  ) {}

  /**
   * True when the names of this inode are not those of its twin. The first call walks the upper once, by status calls
   * only; uppers without hard links never pay for it.
   */
  differ(status: FileStatus): boolean {
    this.#groups ??= this.#collect();
    const group = this.#groups.get(inodeKey(status));
    if (group === undefined) return false;
    const [twin] = group.twins;
    if (group.twins.size !== 1 || twin === undefined || twin === '') return true;
    if ((this.#owners.get(twin) ?? 0) > 1) return true;
    // Names that the upper does not hold still share the inode below.
    return this.dialect !== 'complete' && group.twinLinks > group.names;
  }

  #collect(): Map<string, Group> {
    const groups = new Map<string, Group>();
    for (const { path, status, lowerVisible } of this.#leaves(ROOT, true)) {
      if (status.links < 2 && this.dialect !== 'complete') continue;
      const twin = lowerVisible ? this.lower.lookup(path)?.status : undefined;
      if (status.links < 2 && (twin === undefined || twin.links < 2)) continue;
      const key = inodeKey(status);
      const group = groups.get(key) ?? { names: 0, twins: new Set(), twinLinks: 0 };
      groups.set(key, group);
      group.names += 1;
      group.twinLinks = twin?.links ?? 0;
      group.twins.add(twin === undefined ? '' : inodeKey(twin));
    }
    for (const { twins } of groups.values()) {
      for (const twin of twins) this.#owners.set(twin, (this.#owners.get(twin) ?? 0) + 1);
    }
    return groups;
  }

  *#leaves(directory: Buffer, lowerVisible: boolean): Iterable<Leaf> {
    for (const { name, present, deleted } of upperNames(this.upper, this.dialect, directory)) {
      this.onStep();
      const path = joinPath(directory, name);
      const status = present ? this.upper.status(path) : undefined;
      if (status === undefined || (this.dialect === 'overlay' && isWhiteoutDevice(status))) continue;
      if (!isDirectory(status)) yield { path, status, lowerVisible };
      else yield* this.#leaves(path, lowerVisible && !deleted && !this.#hidesLower(path));
    }
  }

  #hidesLower(directory: Buffer): boolean {
    const { opaque, redirect } = directoryMarks(this.upper, this.dialect, directory);
    return opaque || redirect !== undefined;
  }
}
