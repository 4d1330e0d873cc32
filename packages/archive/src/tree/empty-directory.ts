import { fromSystemError, StoreError } from '@layerstore/core';
import { AT_FDCWD, hasErrno, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, type Syscalls } from '@layerstore/linux';
import { ROOT } from './paths.js';
import { TreeFiles } from './tree-files.js';

/**
 * Opens a directory that is to be filled; it is made where it is missing. The caller closes it.
 * @throws StoreError ERR_EXISTS when it is not empty, ERR_NO_SPACE, ERR_IO
 */
export function openEmptyDirectory(syscalls: Syscalls, path: string): number {
  try {
    try {
      syscalls.mkdirat(AT_FDCWD, path, 0o700);
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
    using target = new TreeFiles(path);
    if (target.names(ROOT).length > 0) {
      throw new StoreError('ERR_EXISTS', 'the directory to copy to is not empty', { subject: path });
    }
    return syscalls.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
