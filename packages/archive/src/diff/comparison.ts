/**
 * What a layer changes, entry by entry.
 *
 * An upper that holds changes only is walked alone, and each of its entries compared with its lower twin: lower layers
 * are never walked, an untouched copy is no difference, and an edit that keeps size and time is one. Where the upper
 * shows a directory of another place (overlay redirects), and for complete trees, two views are walked side by side.
 */
import type { FileStatus } from '@layerstore/linux';
import type { DiffSource, Dialect } from '../layer-tree.js';
import { fileKind, inodeKey, isDirectory, isWhiteoutDevice } from '../tree/file-kind.js';
import { readXattrs, type OverlayMarks } from '../tree/overlay-marks.js';
import { byBytes, joinPath, ROOT } from '../tree/paths.js';
import { LayerStack, type StackEntry } from '../tree/stack.js';
import { TreeFiles } from '../tree/tree-files.js';
import {
  ContentComparer,
  isSameKind,
  sameLinkTarget,
  sameOwnership,
  sameStatus,
  sameXattrs,
} from './compare-entries.js';
import { LinkGroups } from './link-groups.js';
import { directoryMarks, upperNames, type UpperName } from './upper-directory.js';

/** In the order of paths, component by component; a directory comes before what it holds. */
export type Difference = Deletion | Presence;

export interface Deletion {
  readonly kind: 'delete';
  /** Below the root. */
  readonly path: Buffer;
}

export interface Presence {
  /** Directories are always told, also when they are the `same` or differ by their modification `time` alone. */
  readonly kind: 'same' | 'time' | 'modify' | 'add';
  readonly path: Buffer;
  readonly entry: StackEntry;
  /** A directory that hides what the lower layers hold there, which is something. */
  readonly opaque: boolean;
}

/**
 * What the differences are for. `layer`: a directory that replaces a lower one is marked as opaque and everything in it
 * is added, and names that no longer share an inode as they did are differences. `listing`, what people want to see:
 * what was deleted, changed and added in a replaced directory; hard links count by what is in them.
 */
export type Purpose = 'layer' | 'listing';

/** How a comparison that takes long is watched. */
export interface ComparisonOptions {
  /** Called before each entry of the upper and after each chunk of content that is compared; what it throws ends the comparison. */
  readonly onStep?: () => void;
}

export class Comparison implements Disposable {
  readonly #source: DiffSource;
  readonly #dialect: Dialect;
  readonly #upper: TreeFiles;
  readonly #lower: LayerStack;
  readonly #links: LinkGroups;
  readonly #content: ContentComparer;
  readonly #onStep: () => void;
  #view: LayerStack | undefined;
  /** Inodes with several names that were found equal to their twin. */
  readonly #equal = new Set<string>();

  constructor(
    source: DiffSource,
    private readonly purpose: Purpose,
    { onStep = () => undefined }: ComparisonOptions = {},
  ) {
    this.#source = source;
    this.#onStep = onStep;
    this.#content = new ContentComparer(onStep);
    this.#dialect = source.upper.dialect;
    this.#upper = new TreeFiles(source.upper.path, source.upper.idMaps);
    try {
      this.#lower = new LayerStack(source.lowers);
    } catch (error) {
      this.#upper[Symbol.dispose]();
      throw error;
    }
    this.#links = new LinkGroups(this.#dialect, this.#upper, this.#lower, onStep);
  }

  /** The differences; files vanish and appear in a running container, what is gone when its turn comes is left out. */
  *differences(): Iterable<Difference> {
    const root = this.#upperEntry(ROOT);
    if (root === undefined) return;
    const marks = directoryMarks(this.#upper, this.#dialect, ROOT);
    yield* this.#upperDirectory(root, { ...marks, redirect: undefined }, this.#lower.lookup(ROOT));
  }

  /** Where the content of a file lies that {@link differences} told of: with overlay metacopy, in a lower layer. */
  contentOf(path: Buffer, entry: StackEntry): StackEntry {
    return hasContentElsewhere(entry) ? (this.#fullView().content(path) ?? entry) : entry;
  }

  [Symbol.dispose](): void {
    this.#upper[Symbol.dispose]();
    this.#lower[Symbol.dispose]();
    this.#view?.[Symbol.dispose]();
  }

  /** The upper's entry under a path. */
  #upperEntry(path: Buffer): StackEntry | undefined {
    const status = this.#upper.status(path);
    if (status === undefined) return undefined;
    const files = this.#upper;
    return { tree: this.#source.upper, path: files.absolutePath(path), status, files, relative: path };
  }

  /** The upper over everything below it. */
  #fullView(): LayerStack {
    return (this.#view ??= new LayerStack([this.#source.upper, ...this.#source.lowers]));
  }

  *#upperDirectory(entry: StackEntry, marks: OverlayMarks, lower: StackEntry | undefined): Iterable<Difference> {
    const path = entry.relative;
    const replaces = isDirectory(lower?.status) && (marks.opaque || marks.redirect !== undefined);
    yield this.#directory(path, entry, lower, replaces && this.purpose === 'layer');
    const lowerVisible = isDirectory(lower?.status) && !(replaces && this.purpose === 'layer');
    if (this.#dialect === 'complete' || marks.redirect !== undefined || (replaces && lowerVisible)) {
      yield* this.#viewChildren(path, lowerVisible);
    } else {
      yield* this.#upperChildren(path, lowerVisible);
    }
  }

  *#upperChildren(directory: Buffer, lowerVisible: boolean): Iterable<Difference> {
    for (const item of upperNames(this.#upper, this.#dialect, directory)) {
      yield* this.#upperChild(joinPath(directory, item.name), item, lowerVisible);
    }
  }

  *#upperChild(path: Buffer, item: UpperName, lowerVisible: boolean): Iterable<Difference> {
    this.#onStep();
    const entry = item.present ? this.#upperEntry(path) : undefined;
    if (entry === undefined && item.present && !item.deleted) return;
    const lower = lowerVisible ? this.#lower.lookup(path) : undefined;
    if (entry === undefined || this.#isWhiteout(entry) || fileKind(entry.status) === 'socket') {
      if (lower !== undefined && !bothSockets(entry, lower)) yield { kind: 'delete', path };
    } else if (isDirectory(entry.status)) {
      const marks = directoryMarks(this.#upper, this.#dialect, path);
      yield* this.#upperDirectory(entry, { ...marks, opaque: marks.opaque || item.deleted }, lower);
    } else {
      yield* this.#leaf(path, entry, lower);
    }
  }

  /** In an upper the kernel knows no other form; whiteouts as attributes are for lower layers. */
  #isWhiteout({ status }: StackEntry): boolean {
    return this.#dialect === 'overlay' && isWhiteoutDevice(status);
  }

  /** Walks what the whole stack shows in a directory beside what the lower layers alone show there. */
  *#viewChildren(directory: Buffer, lowerVisible: boolean): Iterable<Difference> {
    const view = this.#fullView();
    const names = new Map<string, Buffer>();
    for (const name of view.names(directory)) names.set(name.toString('latin1'), name);
    if (lowerVisible) for (const name of this.#lower.names(directory)) names.set(name.toString('latin1'), name);
    for (const name of [...names.values()].sort(byBytes)) {
      const path = joinPath(directory, name);
      const lower = lowerVisible ? this.#lower.lookup(path) : undefined;
      yield* this.#viewChild(path, view.lookup(path), lower);
    }
  }

  *#viewChild(path: Buffer, entry: StackEntry | undefined, lower: StackEntry | undefined): Iterable<Difference> {
    this.#onStep();
    if (entry === undefined || fileKind(entry.status) === 'socket') {
      if (lower !== undefined && !bothSockets(entry, lower)) yield { kind: 'delete', path };
    } else if (isDirectory(entry.status)) {
      // The same directory is in both trees: nothing below it can differ.
      if (this.#dialect === 'complete' && lower !== undefined && isSameInode(entry.status, lower.status)) return;
      yield this.#directory(path, entry, lower, false);
      yield* this.#viewChildren(path, isDirectory(lower?.status));
    } else {
      yield* this.#leaf(path, entry, lower);
    }
  }

  #directory(path: Buffer, entry: StackEntry, lower: StackEntry | undefined, opaque: boolean): Presence {
    if (lower === undefined) return { kind: 'add', path, entry, opaque };
    const equal = sameOwnership(entry.status, lower.status) && sameXattrs(entry, lower);
    if (!equal) return { kind: 'modify', path, entry, opaque };
    if (opaque) return { kind: 'modify', path, entry, opaque };
    return { kind: entry.status.modifiedNs === lower.status.modifiedNs ? 'same' : 'time', path, entry, opaque };
  }

  *#leaf(path: Buffer, entry: StackEntry, lower: StackEntry | undefined): Iterable<Presence> {
    if (lower === undefined) yield { kind: 'add', path, entry, opaque: false };
    else if (this.#leafDiffers(path, entry, lower)) yield { kind: 'modify', path, entry, opaque: false };
  }

  #leafDiffers(path: Buffer, entry: StackEntry, lower: StackEntry): boolean {
    if (!isSameKind(entry, lower) || !sameStatus(entry.status, lower.status)) return true;
    const shared = entry.status.links > 1 || (this.#dialect === 'complete' && lower.status.links > 1);
    if (!shared) return this.#contentDiffers(path, entry, lower);
    if (this.purpose === 'layer' && this.#links.differ(entry.status)) return true;
    const key = inodeKey(entry.status);
    if (this.#equal.has(key)) return false;
    const differs = this.#contentDiffers(path, entry, lower);
    if (!differs) this.#equal.add(key);
    return differs;
  }

  #contentDiffers(path: Buffer, entry: StackEntry, lower: StackEntry): boolean {
    if (isSameInode(entry.status, lower.status)) return false;
    if (!sameXattrs(entry, lower)) return true;
    switch (fileKind(entry.status)) {
      case 'symlink':
        return !sameLinkTarget(entry, lower);
      case 'file':
        return !this.#content.same(this.contentOf(path, entry), this.#lowerContentOf(path, lower));
      default:
        return false;
    }
  }

  #lowerContentOf(path: Buffer, lower: StackEntry): StackEntry {
    return hasContentElsewhere(lower) ? (this.#lower.content(path) ?? lower) : lower;
  }
}

function hasContentElsewhere({ tree, files, relative }: StackEntry): boolean {
  return tree.dialect === 'overlay' && readXattrs(files, relative).marks.metacopy;
}

function isSameInode(one: FileStatus, two: FileStatus): boolean {
  return inodeKey(one) === inodeKey(two);
}

/** Sockets belong to the process that made them: no layer holds them, and they are neither new nor gone. */
function bothSockets(entry: StackEntry | undefined, lower: StackEntry): boolean {
  return entry !== undefined && fileKind(entry.status) === 'socket' && fileKind(lower.status) === 'socket';
}
