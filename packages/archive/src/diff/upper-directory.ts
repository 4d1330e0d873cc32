/** How the layer that is compared says what it deletes, in each dialect. */
import { OPAQUE_MARKER } from '../apply/whiteout-name.js';
import type { Dialect } from '../layer-tree.js';
import { hiddenBy, isAufsMarker } from '../tree/aufs-markers.js';
import { noMarks, readXattrs, withoutFuseMarkers, type OverlayMarks } from '../tree/overlay-marks.js';
import { joinPath } from '../tree/paths.js';
import type { TreeFiles } from '../tree/tree-files.js';

/** A name that the upper has something to say about. */
export interface UpperName {
  readonly name: Buffer;
  /** An entry of that name is there and not hidden beside its own whiteout (in the overlay dialect it may be a whiteout). */
  readonly present: boolean;
  /** A marker beside it deletes what the lower layers have under the name. */
  readonly deleted: boolean;
}

/** The names of one directory of the upper, in byte order. */
export function upperNames(upper: TreeFiles, dialect: Dialect, directory: Buffer): UpperName[] {
  const names = dialect === 'overlay' ? withoutFuseMarkers(upper.names(directory)) : upper.names(directory);
  if (dialect !== 'aufs') return names.map((name) => ({ name, present: true, deleted: false }));
  const present = new Set<string>();
  const deleted = new Set<string>();
  for (const name of names) {
    const hidden = hiddenBy(name);
    if (hidden !== undefined) deleted.add(hidden.toString('latin1'));
    else if (!isAufsMarker(name)) present.add(name.toString('latin1'));
  }
  return [...new Set([...present, ...deleted])]
    .map((text) => ({
      name: Buffer.from(text, 'latin1'),
      present: present.has(text) && !deleted.has(text),
      deleted: deleted.has(text),
    }))
    .sort((one, two) => Buffer.compare(one.name, two.name));
}

/** The marks of a directory of the upper. */
export function directoryMarks(upper: TreeFiles, dialect: Dialect, directory: Buffer): OverlayMarks {
  switch (dialect) {
    case 'overlay':
      return readXattrs(upper, directory).marks;
    case 'aufs':
      return { ...noMarks, opaque: upper.status(joinPath(directory, Buffer.from(OPAQUE_MARKER))) !== undefined };
    case 'complete':
      return noMarks;
  }
}
