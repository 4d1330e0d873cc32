/**
 * What fuse-overlayfs writes into an upper beside the overlay format: in each opaque directory a file `.wh..wh..opq` and a
 * whiteout `.wh..opq`, and attributes `user.fuseoverlayfs.*` on copied-up entries. A kernel overlay would show the file,
 * and a container its attributes. They are taken out when the view is gone.
 *
 * That an upper may hold such rests is recorded in its work directory from before the mount until after the cleaning, so
 * a process that is killed in between leaves it to the next mount.
 */
import { existsSync, unlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AT_SYMLINK_NOFOLLOW, S_IFCHR, S_IFMT, S_IFREG } from '../constants.js';
import { writeFileDurably } from '../durability.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

/** The directories of an overlay that takes writes. */
export interface UpperDirectories {
  readonly path: string;
  readonly work: string;
}

const recordName = 'layerstore-fuse-overlayfs';
const opaqueFile = '.wh..wh..opq';
const opaqueWhiteout = '.wh..opq';
const ownAttributes = 'user.fuseoverlayfs.';
const trustedOpaque = 'trusted.overlay.opaque';

/** Notes, on disk, that fuse-overlayfs is about to write into an upper. */
export function recordFuseUpper(upper: UpperDirectories): void {
  writeFileDurably(join(upper.work, recordName), `${upper.path}\n`);
}

export function mayHoldFuseLeftovers(upper: UpperDirectories): boolean {
  return existsSync(join(upper.work, recordName));
}

/**
 * Takes the rests out of an upper that nothing is mounted over; an upper without record is left alone. Idempotent.
 * Cost: a walk over the upper.
 */
export async function removeFuseLeftovers(sys: Syscalls, upper: UpperDirectories): Promise<void> {
  if (!mayHoldFuseLeftovers(upper)) return;
  await cleanDirectory(sys, Buffer.from(upper.path));
  unlinkSync(join(upper.work, recordName));
}

async function cleanDirectory(sys: Syscalls, directory: Buffer): Promise<void> {
  cleanAttributes(sys, directory);
  const markers: Buffer[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    if (entry.isDirectory()) await cleanDirectory(sys, path);
    else if (isMarker(sys, path, entry.name.toString('latin1'))) markers.push(path);
    else if (entry.isFile()) cleanAttributes(sys, path);
  }
  if (markers.length > 0) removeMarkers(sys, directory, markers);
}

/** The directory keeps its time: nothing that belongs to the layer has changed. */
function removeMarkers(sys: Syscalls, directory: Buffer, markers: readonly Buffer[]): void {
  const { accessedNs, modifiedNs } = sys.statx(AT_FDCWD, directory, AT_SYMLINK_NOFOLLOW);
  for (const marker of markers) sys.unlinkat(AT_FDCWD, marker, 0);
  sys.utimensat(AT_FDCWD, directory, accessedNs, modifiedNs, AT_SYMLINK_NOFOLLOW);
}

function isMarker(sys: Syscalls, path: Buffer, name: string): boolean {
  if (name !== opaqueFile && name !== opaqueWhiteout) return false;
  const status = sys.statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  const type = status.mode & S_IFMT;
  if (name === opaqueFile) return type === S_IFREG && status.size === 0;
  return type === S_IFCHR && status.specialMajor === 0 && status.specialMinor === 0;
}

/** Where it may not write trusted attributes, it marks opaque directories by one of its own. */
function cleanAttributes(sys: Syscalls, path: Buffer): void {
  for (const name of sys.listXattrs(path)) {
    const text = name.toString('latin1');
    if (!text.startsWith(ownAttributes)) continue;
    if (text === `${ownAttributes}opaque`) sys.setXattr(path, trustedOpaque, Buffer.from('y'));
    try {
      sys.removeXattr(path, name);
    } catch (error) {
      if (!hasErrno(error, 'ENODATA')) throw error;
    }
  }
}
