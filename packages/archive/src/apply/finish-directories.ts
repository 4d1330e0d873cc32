import type { AttributeWriter } from './attributes.js';
import { IMPLIED_MODE } from './attributes.js';
import type { Directories } from './directories.js';
import type { Directory } from './directory.js';
import type { LayerContents } from './layer-contents.js';

/** A directory that no member lists, to be completed from its lower twin. */
export interface DeferredDirectory {
  /** Path below the root in latin1; empty for the root. */
  readonly path: string;
  /** False when only whiteouts stand in it: then there is no such directory where the lower layers have none. */
  readonly holdsContent: boolean;
}

/**
 * Gives every directory its attributes, times last: after the last entry was made, nothing moves them any more.
 * @throws StoreError what {@link AttributeWriter} raises for extended attributes
 */
export function finishDirectories(directories: Directories, attributes: AttributeWriter): void {
  for (const directory of directories.values()) {
    const fd = directories.open(directory);
    if (directory.defaultAcl !== undefined) attributes.restoreDefaultAcl(fd, directory.defaultAcl);
    const { state } = directory;
    switch (state.kind) {
      case 'listed':
        attributes.finishDirectory(fd, state.attributes, directory);
        break;
      case 'found':
        attributes.setTimes(fd, state.accessedNs, state.modifiedNs);
        break;
      case 'implied':
        finishImplied(fd, directory, attributes);
    }
  }
}

function finishImplied(fd: number, directory: Directory, attributes: AttributeWriter): void {
  // An archive without members still gives the same tree on every run.
  const time = directory.impliedNs ?? 0n;
  // The root's mode and owner are what its driver gave it.
  if (directory.parent === undefined) {
    attributes.setTimes(fd, time, time);
    return;
  }
  const plain = { mode: IMPLIED_MODE, uid: 0, gid: 0, xattrs: [], accessedNs: time, modifiedNs: time };
  attributes.finishDirectory(fd, plain, directory);
}

/**
 * The directories that are completed from their lower twins, if they have any. One that this layer cuts off from lower
 * layers has none; if it holds whiteouts only, it is removed here.
 * @param isHidden whether a whiteout beside the directory hides its lower twin
 */
export function impliedDirectories(
  contents: LayerContents,
  isHidden: (directory: Directory) => boolean,
): DeferredDirectory[] {
  const implied: DeferredDirectory[] = [];
  for (const directory of contents.directories.values()) {
    const { parent, path, holdsContent } = directory;
    if (directory.state.kind !== 'implied') continue;
    if (!isCutOff(directory, isHidden)) implied.push({ path, holdsContent });
    else if (!holdsContent && parent !== undefined) contents.remove(parent, directory.name);
  }
  return implied;
}

function isCutOff(directory: Directory, isHidden: (directory: Directory) => boolean): boolean {
  if (directory.cut === 'replaced' || directory.parent?.isCutOff === true) return true;
  for (let above: Directory | undefined = directory; above !== undefined; above = above.parent) {
    if (isHidden(above)) return true;
  }
  return false;
}
