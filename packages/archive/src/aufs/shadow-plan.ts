/**
 * Shadow layers: how kernel overlayfs is made to show aufs layers without a byte in them being changed.
 *
 * A shadow is a small layer in overlay form that lies between an aufs layer and its parent, or above the uppermost one.
 *
 * - What a whiteout of the upper neighbour hides is a whiteout in the shadow.
 * - An opaque directory of the upper neighbour is a whiteout in the shadow too: below an existing directory it ends the
 *   merge (Documentation/filesystems/overlayfs.rst). No extended attribute is needed.
 * - Every marker of the lower neighbour is whited out, and so is what that one hides beside its own whiteout, and what the
 *   kernel would list although it cannot be opened: a device 0:0.
 *
 * Nothing else is in it but the directories that lead there, which have the attributes of those they may stand for.
 */
import { createHash } from 'node:crypto';
import { isDirectory } from '../tree/file-kind.js';
import type { FileStatus } from '@layerstore/linux';
import type { Xattr } from '../tar/entry.js';
import { readXattrs } from '../tree/overlay-marks.js';
import type { TreeFiles } from '../tree/tree-files.js';
import { hasOpaqueMark, whitedOut, type MarkedDirectory } from './markers.js';

/** A layer that a shadow lies next to. */
export interface Neighbour {
  readonly files: TreeFiles;
  readonly marked: readonly MarkedDirectory[];
}

export interface ShadowDirectory {
  /** Below the root, in latin1; empty for the root. */
  readonly path: string;
  readonly status: FileStatus;
  readonly xattrs: readonly Xattr[];
  /** Names that are whited out in it. */
  readonly whiteouts: readonly string[];
}

/**
 * What the shadow between two layers holds, parents before their children; nothing where none is needed.
 * @param above the child; absent for the shadow above the uppermost layer
 */
export function planShadow(above: Neighbour | undefined, below: Neighbour): ShadowDirectory[] {
  const whiteouts = new Whiteouts();
  for (const { path, markers } of above?.marked ?? []) {
    if (path !== '' && hasOpaqueMark(markers)) whiteouts.add(parentPath(path), basePath(path));
    for (const name of whitedOut(markers)) whiteouts.add(path, name);
  }
  whiteouts.dropInner();
  for (const { path, markers, hidden, devices } of below.marked) {
    if (whiteouts.cover(path)) continue;
    for (const name of [...markers, ...hidden, ...devices]) whiteouts.add(path, name);
  }
  whiteouts.dropInner();
  return whiteouts.directories().flatMap(([path, names]) => {
    const source = directoryIn(below, path) ?? directoryIn(above, path);
    return source === undefined ? [] : [{ path, ...source, whiteouts: names }];
  });
}

/** A name for the shadow: two are equal in everything exactly if their names are. */
export function shadowName(directories: readonly ShadowDirectory[]): string {
  const hash = createHash('sha256');
  for (const { path, status, xattrs, whiteouts } of directories) {
    const { mode, uid, gid, modifiedNs } = status;
    const attributes = xattrs.map(({ name, value }) => [name.toString('latin1'), value.toString('base64')]);
    hash.update(`${JSON.stringify([path, mode, uid, gid, String(modifiedNs), attributes, whiteouts])}\n`);
  }
  return hash.digest('hex').slice(0, 40);
}

function directoryIn(
  layer: Neighbour | undefined,
  path: string,
): Pick<ShadowDirectory, 'status' | 'xattrs'> | undefined {
  if (layer === undefined) return undefined;
  const bytes = Buffer.from(path, 'latin1');
  const status = layer.files.status(bytes);
  if (status === undefined || !isDirectory(status)) return undefined;
  return { status, xattrs: readXattrs(layer.files, bytes).own };
}

/** Whiteouts by directory. */
class Whiteouts {
  readonly #names = new Map<string, Set<string>>();

  add(directory: string, name: string): void {
    const names = this.#names.get(directory) ?? new Set();
    this.#names.set(directory, names.add(name));
  }

  /** True when a whiteout stands at the path or above it. */
  cover(path: string): boolean {
    for (let inner = path; inner !== ''; inner = parentPath(inner)) {
      if (this.#names.get(parentPath(inner))?.has(basePath(inner)) === true) return true;
    }
    return false;
  }

  /** A whiteout and a directory cannot have the same name: what is below a whiteout needs none of its own. */
  dropInner(): void {
    for (const directory of [...this.#names.keys()]) {
      if (this.cover(directory)) this.#names.delete(directory);
    }
  }

  /** All directories that are needed, those on the way included, in the order of their paths. */
  directories(): [path: string, names: string[]][] {
    const paths = new Set<string>();
    for (const directory of this.#names.keys()) {
      for (let path = directory; path !== ''; path = parentPath(path)) paths.add(path);
      paths.add('');
    }
    return [...paths].sort(parentsFirst).map((path) => [path, [...(this.#names.get(path) ?? [])].sort()]);
  }
}

function parentsFirst(one: string, other: string): number {
  const [first, second] = [one.split('/'), other.split('/')];
  const at = first.findIndex((component, index) => component !== second[index]);
  if (at === -1) return first.length - second.length;
  return (first[at] ?? '') < (second[at] ?? '') ? -1 : 1;
}

function parentPath(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

function basePath(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
