import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { StoreError } from '@layerstore/core';
import { backingFileSystem } from '@layerstore/linux';

/**
 * Looks at the file system that holds a home, or will hold it, before anything is made there.
 * @param names Docker's names for file systems that the driver does not work on
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM
 */
export function refuseFileSystem(driver: string, home: string, names: readonly string[]): void {
  const { name } = backingFileSystem(existingPart(home));
  if (!names.includes(name)) return;
  throw new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', `${driver} cannot work on ${name}`, {
    subject: home,
    hint: 'put the home on another file system, for example a volume, or use --driver vfs',
  });
}

/** The path itself, or the nearest directory above it that exists. */
export function existingPart(path: string): string {
  return existsSync(path) ? path : existingPart(dirname(path));
}
