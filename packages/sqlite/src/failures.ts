import { hasCode, StoreError } from '@layerstore/core';

export function translated<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw classify(error, path);
  }
}

/** Primary result codes of SQLite (https://sqlite.org/rescode.html); the engines report them in different fields. */
function classify(error: unknown, path: string): Error {
  const shape = error as { code?: unknown; rawCode?: unknown; errcode?: unknown; message?: unknown };
  const extended = typeof shape.errcode === 'number' ? shape.errcode : shape.rawCode;
  const primary = typeof extended === 'number' ? extended & 0xff : undefined;
  const text = typeof shape.message === 'string' ? shape.message : String(error);
  const options = { subject: path, cause: error };
  switch (primary) {
    case 5:
    case 6:
      return new StoreError('ERR_STORE_LOCKED', 'the database is locked by another process', options);
    case 13:
      return new StoreError('ERR_NO_SPACE', 'no space left for the database', {
        ...options,
        hint: 'free some space on the file system of the root and try again',
      });
    case 11:
    case 26:
      return new StoreError('ERR_STORE_DAMAGED', `the database is damaged (${text})`, {
        ...options,
        hint: 'copy the root aside, then restore meta.db from a backup',
      });
    case 10:
    case 14:
      return new StoreError('ERR_IO', `the database cannot be read or written (${text})`, options);
    default:
      return error instanceof Error ? error : new Error(text);
  }
}

/** True for an error that says another process holds the write lock: worth another try. */
export function isLocked(error: unknown): boolean {
  return hasCode(error, 'ERR_STORE_LOCKED');
}
