/**
 * What a stack of layers shows under a name, without mounting it.
 *
 * A directory of the stack has a *part* in each layer that contributes to it, uppermost first. The parts of a child are
 * looked up in the parts of its parent, from the top: a whiteout, an opaque directory or anything but a directory ends
 * the search, a redirect continues it elsewhere. The parts on the way to the last path asked for are kept, so a walk in
 * order costs one status call per entry and contributing layer, and no layer is ever walked.
 */
import { StoreError } from '@layerstore/core';
import type { FileStatus } from '@layerstore/linux';
import { OPAQUE_MARKER } from '../apply/whiteout-name.js';
import type { LayerTree } from '../layer-tree.js';
import { isAufsMarker, whiteoutOf } from './aufs-markers.js';
import { fileKind, isDirectory, isWhiteoutDevice } from './file-kind.js';
import { isWhiteoutFile, noMarks, readXattrs, withoutFuseMarkers, type OverlayMarks } from './overlay-marks.js';
import { baseName, byBytes, joinPath, pathText, ROOT, splitPath } from './paths.js';
import { TreeFiles } from './tree-files.js';

/** What is visible under a path. */
export interface StackEntry {
  /** The layer that it comes from. */
  readonly tree: LayerTree;
  /** Where it lies: an absolute path. */
  readonly path: Buffer;
  readonly status: FileStatus;
  /** Reads that layer. */
  readonly files: TreeFiles;
  /** The path inside the layer; with redirects not the one that was asked for. */
  readonly relative: Buffer;
}

interface Layer {
  readonly tree: LayerTree;
  readonly files: TreeFiles;
  /** 0 is the uppermost. */
  readonly index: number;
  readonly lowest: boolean;
}

/** A place in one layer. */
interface Part {
  readonly layer: Layer;
  readonly path: Buffer;
  readonly status: FileStatus;
}

interface Found {
  readonly top: Part;
  /** Of a directory: all that it is merged from. */
  readonly parts: readonly Part[];
  /** Of anything else: the parts of its parent in the layers below, where an overlay looks for its content. */
  readonly below: readonly Part[];
}

/** What one layer says about a name: nothing, that it is deleted, or that it is there. */
type Verdict = 'absent' | 'deleted' | Present;

interface Present {
  readonly part: Part;
  /** A directory that nothing below contributes to. */
  readonly last: boolean;
  readonly redirect: Buffer | undefined;
}

interface Level {
  readonly name: Buffer;
  readonly found: Found | undefined;
}

export class LayerStack implements Disposable {
  readonly #layers: Layer[] = [];
  readonly #root: Found | undefined;
  /** The directories on the way to the last path, from the root's child on. */
  #levels: Level[] = [];

  /**
   * Opens the root of every layer (one descriptor each, and one more for the directory in use).
   * @param trees uppermost first
   * @throws StoreError ERR_IO when a layer's directory is missing
   */
  constructor(trees: readonly LayerTree[]) {
    try {
      for (const [index, tree] of trees.entries()) {
        const lowest = index === trees.length - 1;
        this.#layers.push({ tree, files: new TreeFiles(tree.path, tree.idMaps), index, lowest });
      }
      this.#root = this.#mergedRoot();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * What the stack shows at `path` (components below the root; slashes at the ends are ignored), never through a
   * symlink. `undefined` where there is nothing.
   * @throws StoreError ERR_STORE_DAMAGED for a redirect that cannot be followed
   */
  lookup(path: Buffer): StackEntry | undefined {
    const found = this.#find(path);
    return found === undefined ? undefined : entryOf(found.top);
  }

  /**
   * Names that may be visible in a directory, in byte order. Deleted ones can be among them: {@link lookup} decides.
   * Costs one listing per contributing layer.
   */
  names(directory: Buffer): Buffer[] {
    const found = this.#find(directory);
    if (found === undefined || !isDirectory(found.top.status)) return [];
    const names = new Map<string, Buffer>();
    for (const { layer, path } of found.parts) {
      for (const name of shownNames(layer, path)) names.set(name.toString('latin1'), name);
    }
    return [...names.values()].sort(byBytes);
  }

  /**
   * Where the content of the regular file at `path` lies: the entry itself, or, for a file of which only the attributes
   * were copied up, the file below that has the data.
   * @throws StoreError ERR_STORE_DAMAGED when that file is missing
   */
  content(path: Buffer): StackEntry | undefined {
    let found = this.#find(path);
    while (found !== undefined) {
      const { top, below } = found;
      const { metacopy, redirect } = marksOf(top);
      if (!metacopy) return entryOf(top);
      found = this.#lookFurther(top, below, redirect ?? baseName(top.path));
      if (found === undefined || fileKind(found.top.status) !== 'file') {
        throw damaged(top, 'the file that holds its content is missing from the lower layers');
      }
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const { files } of this.#layers) files[Symbol.dispose]();
    this.#layers.length = 0;
  }

  /**
   * An opaque root cuts off what is below, as any other opaque directory does. (The kernel does not look at the mark of
   * a layer's root; whoever mounts such a stack leaves the layers below out.)
   */
  #mergedRoot(): Found | undefined {
    const parts: Part[] = [];
    for (const layer of this.#layers) {
      const status = layer.files.status(ROOT);
      if (status === undefined) break;
      const part: Part = { layer, path: ROOT, status };
      parts.push(part);
      if (isLastDirectory(part)) break;
    }
    const [top] = parts;
    return top === undefined ? undefined : { top, parts, below: [] };
  }

  #find(path: Buffer): Found | undefined {
    const components = splitPath(path);
    let known = 0;
    while (known < components.length && this.#levels[known]?.name.equals(components[known] ?? ROOT) === true)
      known += 1;
    // Whatever is not a directory has nothing below it, and its siblings come next: it is not worth a place.
    this.#levels.length = Math.min(known, this.#levels.length);
    let found = known === 0 ? this.#root : this.#levels[known - 1]?.found;
    for (const name of components.slice(known)) {
      if (found === undefined || !isDirectory(found.top.status)) return undefined;
      found = this.#child(found.parts, name);
      if (found !== undefined && isDirectory(found.top.status)) this.#levels.push({ name: Buffer.from(name), found });
    }
    return found;
  }

  #child(parents: readonly Part[], name: Buffer): Found | undefined {
    const parts: Part[] = [];
    for (const [position, parent] of parents.entries()) {
      const verdict = inspect(parent, name);
      if (verdict === 'absent') continue;
      if (verdict === 'deleted') break;
      const { part, last, redirect } = verdict;
      const below = parents.slice(position + 1);
      if (!isDirectory(part.status)) {
        if (parts.length === 0) return { top: part, parts: [], below };
        break;
      }
      parts.push(part);
      if (redirect !== undefined && !last) {
        const further = this.#lookFurther(part, below, redirect);
        if (further !== undefined) parts.push(...further.parts);
        break;
      }
      if (last) break;
    }
    const [top] = parts;
    return top === undefined ? undefined : { top, parts, below: [] };
  }

  /**
   * Goes on below a part, where its redirect leads: to another name in the same directory, or to a path from the root.
   */
  #lookFurther(from: Part, below: readonly Part[], redirect: Buffer): Found | undefined {
    if (redirect[0] !== SLASH) {
      if (redirect.length === 0 || redirect.includes(SLASH)) throw damaged(from, 'its overlay redirect is not a name');
      return this.#child(below, redirect);
    }
    let parts = (this.#root?.parts ?? []).filter((part) => part.layer.index > from.layer.index);
    let found: Found | undefined;
    for (const name of splitPath(redirect)) {
      if (DOTS.has(name.toString('latin1'))) throw damaged(from, 'its overlay redirect is not a clean path');
      found = this.#child(parts, name);
      if (found === undefined) return undefined;
      parts = [...found.parts];
    }
    return found;
  }
}

function shownNames({ tree, files }: Layer, directory: Buffer): Buffer[] {
  const names = files.names(directory);
  switch (tree.dialect) {
    case 'overlay':
      return withoutFuseMarkers(names);
    case 'aufs':
      return names.filter((name) => !isAufsMarker(name));
    case 'complete':
      return names;
  }
}

const SLASH = 0x2f;
const DOTS: ReadonlySet<string> = new Set(['.', '..']);

function inspect(parent: Part, name: Buffer): Verdict {
  switch (parent.layer.tree.dialect) {
    case 'overlay':
      return inspectOverlay(parent, name);
    case 'aufs':
      return inspectAufs(parent, name);
    case 'complete':
      return inspectComplete(parent, name);
  }
}

function inspectOverlay(parent: Part, name: Buffer): Verdict {
  const part = partOf(parent, name);
  if (part === undefined) return 'absent';
  const { layer, path, status } = part;
  if (isWhiteoutDevice(status)) return 'deleted';
  // The kernel does not look for this form where there is nothing to hide.
  if (!layer.lowest && isWhiteoutFile(layer.files, path, status)) return 'deleted';
  if (!isDirectory(status)) return { part, last: true, redirect: undefined };
  const { opaque, redirect } = marksOf(part);
  return { part, last: opaque, redirect };
}

/**
 * A whiteout hides the name also in its own layer, as aufs and fuse-overlayfs have it. (An archive may mean the lower name
 * only, OCI image-spec, layer.md: applying it leaves no whiteout beside a name.)
 */
function inspectAufs(parent: Part, name: Buffer): Verdict {
  if (isAufsMarker(name)) return 'absent';
  if (partOf(parent, whiteoutOf(name)) !== undefined) return 'deleted';
  const part = partOf(parent, name);
  if (part === undefined) return 'absent';
  return { part, last: !isDirectory(part.status) || isLastDirectory(part), redirect: undefined };
}

function inspectComplete(parent: Part, name: Buffer): Verdict {
  const part = partOf(parent, name);
  return part === undefined ? 'deleted' : { part, last: true, redirect: undefined };
}

function partOf(parent: Part, name: Buffer): Part | undefined {
  const path = joinPath(parent.path, name);
  const status = parent.layer.files.status(path);
  return status === undefined ? undefined : { layer: parent.layer, path, status };
}

function isLastDirectory(part: Part): boolean {
  const { tree, files } = part.layer;
  switch (tree.dialect) {
    case 'overlay':
      return marksOf(part).opaque;
    case 'aufs':
      return files.status(joinPath(part.path, Buffer.from(OPAQUE_MARKER))) !== undefined;
    case 'complete':
      return true;
  }
}

function marksOf({ layer, path, status }: Part): OverlayMarks {
  const kind = fileKind(status);
  if (layer.tree.dialect !== 'overlay' || (kind !== 'directory' && kind !== 'file')) return noMarks;
  return readXattrs(layer.files, path).marks;
}

function entryOf({ layer, path, status }: Part): StackEntry {
  const { tree, files } = layer;
  return { tree, path: files.absolutePath(path), status, files, relative: path };
}

function damaged(part: Part, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, { subject: pathText(part.layer.files.absolutePath(part.path)) });
}
