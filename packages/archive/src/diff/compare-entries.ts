/** Whether two entries are the same to whoever reads them: attributes, extended attributes, link target, content. */
import { fromSystemError, StoreError } from '@layerstore/core';
import { nativeSyscalls, type FileStatus } from '@layerstore/linux';
import { BUFFER_SIZE } from '../compression/buffer.js';
import type { Xattr } from '../tar/entry.js';
import { fileKind, inodeKey } from '../tree/file-kind.js';
import { readXattrs } from '../tree/overlay-marks.js';
import { pathText } from '../tree/paths.js';
import type { StackEntry } from '../tree/stack.js';

/**
 * The attributes that a layer carries: all but the overlay's own, the SELinux label and NFS ACLs, which belong to the
 * host and differ between two copies of one file.
 */
export function carriedXattrs(own: readonly Xattr[]): Xattr[] {
  return own.filter(({ name }) => !hostXattrs.has(name.toString('latin1')));
}

const hostXattrs: ReadonlySet<string> = new Set(['security.selinux', 'system.nfs4_acl']);

export function sameXattrs(one: StackEntry, two: StackEntry): boolean {
  const [ones, twos] = [one, two].map(({ files, relative }) => carriedXattrs(readXattrs(files, relative).own));
  if (ones === undefined || twos === undefined || ones.length !== twos.length) return false;
  return ones.every(({ name, value }, index) => {
    const other = twos[index];
    return other !== undefined && name.equals(other.name) && value.equals(other.value);
  });
}

/** Type, permissions and owner. */
export function sameOwnership(one: FileStatus, two: FileStatus): boolean {
  return one.mode === two.mode && one.uid === two.uid && one.gid === two.gid;
}

/** All that statx tells of anything but a directory, as far as a layer keeps it. */
export function sameStatus(one: FileStatus, two: FileStatus): boolean {
  return (
    sameOwnership(one, two) &&
    one.modifiedNs === two.modifiedNs &&
    one.size === two.size &&
    one.specialMajor === two.specialMajor &&
    one.specialMinor === two.specialMinor
  );
}

/** Compares files of equal size byte by byte, in two buffers that are used again for each pair. */
export class ContentComparer {
  #buffers: readonly [Buffer, Buffer] | undefined;

  /** @param onChunk called after each chunk; what it throws ends the comparison */
  constructor(private readonly onChunk: () => void) {}

  /**
   * Times and sizes can tie after a change: a program that sets the time back, two writes within one tick of the clock.
   * @throws StoreError ERR_IO when one of the files becomes shorter meanwhile
   */
  same(one: StackEntry, two: StackEntry): boolean {
    const { size } = one.status;
    if (inodeKey(one.status) === inodeKey(two.status) || size === 0) return true;
    const [first, second] = (this.#buffers ??= [Buffer.allocUnsafe(BUFFER_SIZE), Buffer.allocUnsafe(BUFFER_SIZE)]);
    const firstFd = one.files.open(one.relative);
    try {
      const secondFd = two.files.open(two.relative);
      try {
        for (let offset = 0; offset < size; offset += BUFFER_SIZE) {
          const length = Math.min(BUFFER_SIZE, size - offset);
          fill(firstFd, first.subarray(0, length), one.path, offset);
          fill(secondFd, second.subarray(0, length), two.path, offset);
          if (first.compare(second, 0, length, 0, length) !== 0) return false;
          this.onChunk();
        }
        return true;
      } finally {
        nativeSyscalls().close(secondFd);
      }
    } finally {
      nativeSyscalls().close(firstFd);
    }
  }
}

function fill(fd: number, buffer: Buffer, path: Buffer, offset: number): void {
  for (let done = 0; done < buffer.length;) done += readContent(fd, buffer.subarray(done), path, offset + done);
}

export function sameLinkTarget(one: StackEntry, two: StackEntry): boolean {
  return one.files.linkTarget(one.relative).equals(two.files.linkTarget(two.relative));
}

/**
 * Reads from a file that must still have something there. Returns how much it was.
 * @throws StoreError ERR_IO at the end of the file: its size was stated before
 */
export function readContent(fd: number, into: Buffer, path: Buffer, offset?: number): number {
  let count: number;
  try {
    count = nativeSyscalls().read(fd, into, offset);
  } catch (error) {
    throw fromSystemError(error, pathText(path));
  }
  if (count > 0) return count;
  throw new StoreError('ERR_IO', 'the file became shorter while it was read', {
    subject: pathText(path),
    hint: 'stop or pause whatever writes there, and try again',
  });
}

export function isSameKind(one: StackEntry, two: StackEntry): boolean {
  return fileKind(one.status) === fileKind(two.status);
}
