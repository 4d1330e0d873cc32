import type { TreeFiles } from '../tree/tree-files.js';
import type { DirectoryChange } from './form-change.js';

/** The times of a directory, to be restored after its entries were changed. */
export function timesOf(files: TreeFiles, directory: Buffer): Pick<DirectoryChange, 'accessedNs' | 'modifiedNs'> {
  const status = files.status(directory);
  return { accessedNs: String(status?.accessedNs ?? 0n), modifiedNs: String(status?.modifiedNs ?? 0n) };
}
