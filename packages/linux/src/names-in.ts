import { readdirSync } from 'node:fs';
import { hasErrno } from './native/errno.js';

/** The names in an open directory, as bytes; none when it has been removed meanwhile. */
export function namesIn(directory: number): Buffer[] {
  try {
    return readdirSync(`/proc/self/fd/${directory}`, { encoding: 'buffer' });
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
