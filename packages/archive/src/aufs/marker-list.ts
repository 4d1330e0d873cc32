/**
 * A layer's markers as they were at one moment, in a file beside the layer.
 */
import { readFileSync } from 'node:fs';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, hasErrno, nativeSyscalls, replaceFile } from '@layerstore/linux';
import type { MarkedDirectory } from './markers.js';

export interface AufsMarkerList {
  /** {@link layerIdentity} of the layer's root at that moment. */
  readonly identity: string;
  readonly marked: readonly MarkedDirectory[];
}

/**
 * Tells whether a layer's root is the same directory, with the same entries and attributes, as at another time. Changes
 * deeper in the layer do not show.
 */
export function layerIdentity(path: string): string {
  const status = nativeSyscalls().statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  return `${status.inode}-${status.changedNs}`;
}

/**
 * Not synced: what cannot be read counts as missing.
 * @param identity what tells one content of the layer from another; default {@link layerIdentity}
 * @throws StoreError ERR_NO_SPACE, ERR_IO
 */
export function writeMarkerList(
  file: string,
  layer: string,
  marked: readonly MarkedDirectory[],
  identity = layerIdentity(layer),
): void {
  const list: AufsMarkerList = { identity, marked };
  replaceFile(file, JSON.stringify(list));
}

/** `undefined` where there is no list, none that can be read, or the root has changed since. */
export function readMarkerList(file: string, layer: string, identity?: string): readonly MarkedDirectory[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const list = parse(text);
  return list !== undefined && list.identity === (identity ?? layerIdentity(layer)) ? list.marked : undefined;
}

function parse(text: string): AufsMarkerList | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isMarkerList(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMarkerList(value: unknown): value is AufsMarkerList {
  if (typeof value !== 'object' || value === null) return false;
  const { identity, marked } = value as Partial<Record<keyof AufsMarkerList, unknown>>;
  return typeof identity === 'string' && Array.isArray(marked) && marked.every(isMarkedDirectory);
}

function isMarkedDirectory(value: unknown): value is MarkedDirectory {
  if (typeof value !== 'object' || value === null) return false;
  const { path, markers, hidden, devices } = value as Partial<Record<keyof MarkedDirectory, unknown>>;
  return typeof path === 'string' && [markers, hidden, devices].every(isNames);
}

/** The list is only a note, but a name with a slash in it would lead astray. */
function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== '' && !name.includes('/'));
}
