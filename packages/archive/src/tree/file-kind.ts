import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type FileStatus,
} from '@layerstore/linux';

export type FileKind = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket';

const kinds = new Map<number, FileKind>([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'character'],
  [S_IFBLK, 'block'],
  [S_IFIFO, 'fifo'],
  [S_IFSOCK, 'socket'],
]);

export function fileKind(status: FileStatus): FileKind {
  const kind = kinds.get(status.mode & S_IFMT);
  if (kind === undefined)
    throw new RangeError(`file type ${(status.mode & S_IFMT).toString(8)} does not exist on Linux`);
  return kind;
}

export function isDirectory(status: FileStatus | undefined): boolean {
  return status !== undefined && (status.mode & S_IFMT) === S_IFDIR;
}

/** How kernel overlays mark a deletion. */
export function isWhiteoutDevice(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFCHR && status.specialMajor === 0 && status.specialMinor === 0;
}

/** Names an inode; hard links share it. */
export function inodeKey(status: FileStatus): string {
  return `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
}
