import { lstatSync, readdirSync, readFileSync, type Dirent } from 'node:fs';
import { hasErrno } from '@layerstore/linux';

/** The text of a file; `undefined` where there is none. */
export function readOptional(path: string): string | undefined {
  return unlessAbsent(() => readFileSync(path, 'utf8'));
}

/** The entries of a directory; empty where there is none. */
export function listOptional(path: string): Dirent[] {
  return unlessAbsent(() => readdirSync(path, { withFileTypes: true })) ?? [];
}

/** What `read` gives; `undefined` where a path it names is not there. */
export function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** True for a directory itself; a symlink that a hostile home puts in its place is none. */
export function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
