import type { LayerTree } from '../layer-tree.js';
import { hiddenBy, isOpaqueMarker } from '../tree/aufs-markers.js';
import { fileKind, isDirectory } from '../tree/file-kind.js';
import { joinPath } from '../tree/paths.js';
import { LayerStack } from '../tree/stack.js';
import { TreeFiles } from '../tree/tree-files.js';
import { timesOf } from './directory-times.js';
import type { DirectoryChange, FormChange, OverlayMarkFamily, ParkedEntry } from './form-change.js';
import { hasOpaqueMark, scanMarkers, type MarkedDirectory } from './markers.js';

/**
 * What turns a layer in aufs form into the upper of an overlay. Writes nothing. Costs a listing of every directory and a
 * lookup in the lowers for each that holds markers.
 * @param path absolute path of the layer's directory
 * @param lowers uppermost first
 * @throws StoreError ERR_IO, ERR_LIMIT_EXCEEDED
 */
export function planOverlayForm(path: string, lowers: readonly LayerTree[], marks: OverlayMarkFamily): FormChange {
  const marked = scanMarkers(path);
  // Most often a new container's: the lowers need not be opened.
  if (marked.length === 0) return { to: 'overlay', marks, directories: [] };
  using files = new TreeFiles(path);
  using below = new LayerStack(lowers);
  const plan = new OverlayFormPlan(files, below);
  return { to: 'overlay', marks, directories: marked.map((directory) => plan.change(directory)) };
}

class OverlayFormPlan {
  /** Directories that nothing below is merged into, in latin1. */
  readonly #cut = new Set<string>();
  #parked = 0;

  constructor(
    private readonly files: TreeFiles,
    private readonly below: LayerStack,
  ) {}

  change({ path, markers, hidden, devices }: MarkedDirectory): DirectoryChange {
    const opaque = hasOpaqueMark(markers);
    if (opaque) this.#cut.add(path);
    const merged = !this.#isCut(path) && isDirectory(this.below.lookup(bytes(path))?.status);
    // As any file would, a device hides what lower layers have under its name.
    const whiteouts: string[] = merged ? devices.filter((name) => !hidden.includes(name)) : [];
    const idle: string[] = [];
    const parked: ParkedEntry[] = [
      ...hidden.map((name) => this.#park(name)),
      ...devices.filter((name) => !hidden.includes(name)).map((name) => ({ ...this.#park(name), isDevice: true })),
    ];
    for (const marker of markers) {
      const name = hiddenBy(bytes(marker))?.toString('latin1');
      if (name !== undefined && merged) whiteouts.push(name);
      if (isOpaqueMarker(bytes(marker))) continue;
      // A whiteout that is no file hides its name just the same: reading that through aufs fails.
      if (name === undefined || !this.#isFile(path, marker)) parked.push(this.#park(marker));
      else if (!merged) {
        if (hidden.includes(name)) parked.push(this.#park(marker));
        else idle.push(marker);
      }
    }
    return { path, whiteouts, opaque, idle, parked, ...timesOf(this.files, bytes(path)) };
  }

  #park(name: string): ParkedEntry {
    return { name, as: String(this.#parked++), isDevice: false };
  }

  #isFile(directory: string, name: string): boolean {
    const status = this.files.status(joinPath(bytes(directory), bytes(name)));
    return status !== undefined && fileKind(status) === 'file';
  }

  #isCut(path: string): boolean {
    for (let inner = path; ; inner = inner.slice(0, Math.max(inner.lastIndexOf('/'), 0))) {
      if (this.#cut.has(inner)) return true;
      if (inner === '') return false;
    }
  }
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
