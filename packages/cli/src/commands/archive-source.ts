import type { Source } from '@layerstore/store';
import { usageError } from '../failures.js';

/**
 * Where `load` and `import` read: a file, a directory, or stdin for `-`.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function archiveSource(input: string): Source {
  if (input !== '-') return { path: input };
  if (!process.stdin.isTTY) return { stream: process.stdin };
  throw usageError('stdin is a terminal: no archive comes from it', 'name a file, or pipe an archive into the command');
}
