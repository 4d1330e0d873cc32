import { StoreError } from '@layerstore/core';
import { hiddenBy, isAufsMarker } from '../tree/aufs-markers.js';
import { isWhiteoutDevice } from '../tree/file-kind.js';
import { joinPath, pathText, ROOT } from '../tree/paths.js';
import { TreeFiles } from '../tree/tree-files.js';
import type { DirectoryChange, FormChange, OverlayMarkFamily, ParkedEntry, ParkedRecord } from './form-change.js';
import { timesOf } from './directory-times.js';

/**
 * What turns the upper of an overlay, which is unmounted, back into a layer in aufs form. On the way it takes off what the
 * kernel noted at copied-up files for its own use; apart from that nothing is written.
 *
 * Costs a listing of every directory and one call per entry.
 * @param path absolute path of the layer's directory
 * @param parked what was moved aside when the layer took overlay form
 * @throws StoreError ERR_NOT_SUPPORTED for a name that begins with `.wh.`: in aufs form it would delete something
 * @throws StoreError ERR_IO, ERR_LIMIT_EXCEEDED
 */
export function planAufsForm(path: string, parked: ParkedRecord, marks: OverlayMarkFamily): FormChange {
  using files = new TreeFiles(path);
  const plan = new AufsFormPlan(files, marks, new Map(parked.map((record) => [record.path, record.entries])));
  const directories = [...plan.changesBelow(ROOT)];
  plan.removeTraces();
  return { to: 'aufs', marks, directories };
}

class AufsFormPlan {
  readonly #traces: { path: Buffer; name: Buffer }[] = [];

  constructor(
    private readonly files: TreeFiles,
    private readonly marks: OverlayMarkFamily,
    private readonly parked: ReadonlyMap<string, readonly ParkedEntry[]>,
  ) {}

  *changesBelow(directory: Buffer): Iterable<DirectoryChange> {
    const path = directory.toString('latin1');
    const opaque = this.#isOpaque(directory);
    const entries = this.files.entries(directory);
    const whiteouts: string[] = [];
    const present = new Set<string>();
    for (const { name } of entries) {
      if (isAufsMarker(name)) throw reserved(this.files.absolutePath(joinPath(directory, name)));
    }
    for (const entry of entries) {
      const name = entry.name.toString('latin1');
      if (entry.isCharacterDevice() && this.#isWhiteout(joinPath(directory, entry.name))) whiteouts.push(name);
      else present.add(name);
    }
    const parked = takenBack(this.parked.get(path) ?? [], present, whiteouts);
    const devices = new Set(parked.flatMap(({ name, isDevice }) => (isDevice ? [name] : [])));
    const hiding = whiteouts.filter((name) => !devices.has(name));
    if (opaque || whiteouts.length > 0 || parked.length > 0) {
      yield { path, whiteouts: hiding, opaque, idle: [], parked, ...timesOf(this.files, directory) };
    }
    for (const entry of entries) {
      const inner = joinPath(directory, entry.name);
      if (entry.isDirectory()) yield* this.changesBelow(inner);
      else if (present.has(entry.name.toString('latin1'))) this.#noteTraces(inner);
    }
  }

  /** Not before everything is known to be translatable. */
  removeTraces(): void {
    for (const { path, name } of this.#traces) this.files.removeXattr(path, name);
  }

  #isWhiteout(path: Buffer): boolean {
    const status = this.files.status(path);
    return status !== undefined && isWhiteoutDevice(status);
  }

  #isOpaque(directory: Buffer): boolean {
    this.#noteTraces(directory);
    return this.files.xattr(directory, `${this.marks}.overlay.opaque`)?.toString() === 'y';
  }

  /** Attributes of the overlay itself; what it keeps for a container that has attributes of such names is not among them. */
  #noteTraces(path: Buffer): void {
    const prefix = `${this.marks}.overlay.`;
    for (const bytes of this.files.xattrNames(path)) {
      const name = bytes.toString('latin1');
      const isTrace = name.startsWith(prefix) && name !== `${prefix}opaque` && !name.startsWith(`${prefix}overlay.`);
      if (isTrace) this.#traces.push({ path, name: bytes });
    }
  }
}

/**
 * Which parked entries go back. A whiteout whose name the program has used anew is void; an entry that was hidden goes
 * back only where it stays hidden.
 */
function takenBack(
  parked: readonly ParkedEntry[],
  present: ReadonlySet<string>,
  whiteouts: readonly string[],
): ParkedEntry[] {
  const markers = parked.filter(({ name }) => {
    if (!isAufsMarker(latin1(name))) return false;
    const hidden = hiddenBy(latin1(name))?.toString('latin1');
    return hidden === undefined || !present.has(hidden);
  });
  const hiding = new Set([...whiteouts, ...markers.map(({ name }) => hiddenBy(latin1(name))?.toString('latin1'))]);
  const others = parked.filter(({ name }) => !isAufsMarker(latin1(name)) && !present.has(name));
  return [...markers, ...others.filter(({ name, isDevice }) => isDevice || hiding.has(name))];
}

function reserved(path: Buffer): StoreError {
  return new StoreError(
    'ERR_NOT_SUPPORTED',
    'aufs has no names that begin with `.wh.`: in the layer it would delete something',
    {
      subject: pathText(path),
      hint: 'mount the view again and rename or delete it; until then the layer stays in overlay form',
    },
  );
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
