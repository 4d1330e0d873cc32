import type { Target } from '@layerstore/store';
import { usageError } from '../failures.js';

/**
 * Where `save` and `export` write: a file, or stdout for `-`, unless that would flood a terminal with an archive.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function archiveTarget(output: string | undefined): Target {
  if (output !== undefined && output !== '-') return { path: output };
  if (!process.stdout.isTTY) return { fd: process.stdout.fd };
  throw usageError(
    'stdout is a terminal: an archive is not written to it',
    'name a file with -o, or pipe the output into a program',
  );
}
