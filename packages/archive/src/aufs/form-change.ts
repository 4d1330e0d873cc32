/**
 * The writable layer of an aufs home on a kernel without aufs.
 *
 * At rest it is in aufs form, as everybody who opens the home expects it. While it is the upper of a mounted overlay it must
 * be in overlay form: whiteouts as devices 0:0, opaque directories by an extended attribute. A change from one form to the
 * other is planned whole, recorded, and performed by steps that can be repeated: whatever ends the process, the next one
 * finishes the work from the record.
 */

/** Names and paths are in latin1, one character a byte, so that records survive threads and JSON. */
export interface FormChange {
  readonly to: 'overlay' | 'aufs';
  readonly marks: OverlayMarkFamily;
  /** Parents before their children. */
  readonly directories: readonly DirectoryChange[];
}

/**
 * The extended attributes by which an overlay marks directories: `user.overlay.*` of one that is mounted with the option
 * userxattr, and `trusted.overlay.*`. With the former, attributes of the latter name are the container's own.
 */
export type OverlayMarkFamily = 'user' | 'trusted';

/** What changes in one directory. */
export interface DirectoryChange {
  /** Below the root; empty for the root. */
  readonly path: string;
  /** Names whose whiteout takes the other form. */
  readonly whiteouts: readonly string[];
  /** Its opaque mark takes the other form. */
  readonly opaque: boolean;
  /** Markers that hide nothing in the view and are deleted: the kernel would list devices of a directory that it does not merge. */
  readonly idle: readonly string[];
  /** Entries that the overlay must not show: moved aside, or taken back. */
  readonly parked: readonly ParkedEntry[];
  /** The times to restore, as decimal nanoseconds: the change itself must leave no trace. */
  readonly accessedNs: string;
  readonly modifiedNs: string;
}

export interface ParkedEntry {
  readonly name: string;
  /** Its name in the directory of parked entries. */
  readonly as: string;
  /** It is a device 0:0, to be put back in place of the whiteout that stands for it. */
  readonly isDevice: boolean;
}

/** Where parked entries of a layer belong: kept for the time of the view. */
export type ParkedRecord = readonly { readonly path: string; readonly entries: readonly ParkedEntry[] }[];

export function parkedBy(change: FormChange): ParkedRecord {
  return change.directories.flatMap(({ path, parked }) => (parked.length > 0 ? [{ path, entries: parked }] : []));
}
