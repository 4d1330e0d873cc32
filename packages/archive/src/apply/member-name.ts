/**
 * Names of members as paths below the layer's root: no leading slash, no `.` or `..`, no empty component, no trailing
 * slash. The root itself is empty.
 */
import { StoreError } from '@layerstore/core';

const SLASH = 0x2f;
const DOT = 0x2e;

/** The kernel's PATH_MAX without its NUL: a longer path could not be opened by name again. */
export const MAX_PATH_BYTES = 4095;

/**
 * Cleans a member's name or a hard link's target by its text alone, as if no component were a symlink. An absolute name
 * is relative to the root.
 * @param what the subject of the sentence in an error
 * @throws StoreError ERR_ARCHIVE_ESCAPE when `..` leads above the root
 * @throws StoreError ERR_MALFORMED_ARCHIVE for NUL, which the kernel would take as the end
 */
export function cleanName(name: Buffer, what = 'the name'): Buffer {
  let end = name.length;
  while (end > 0 && name[end - 1] === SLASH) end--;
  // Most archives have no prefix, or this one; what else there is to clean is rare.
  const begin = name[0] === DOT && name[1] === SLASH && end > 2 ? 2 : 0;
  return isClean(name, begin, end) ? name.subarray(begin, end) : cleanByComponents(name, what);
}

function isClean(name: Buffer, begin: number, end: number): boolean {
  let start = begin;
  for (let index = begin; index <= end; index++) {
    const byte = index === end ? SLASH : name[index];
    if (byte === 0) return false;
    if (byte !== SLASH) continue;
    const length = index - start;
    if (length === 0 && end > 0) return false;
    if (length === 1 && name[start] === DOT) return false;
    if (length === 2 && name[start] === DOT && name[start + 1] === DOT) return false;
    start = index + 1;
  }
  return true;
}

function cleanByComponents(name: Buffer, what: string): Buffer {
  if (name.includes(0)) throw new StoreError('ERR_MALFORMED_ARCHIVE', `${what} holds NUL`);
  const kept: string[] = [];
  for (const component of name.toString('latin1').split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') kept.push(component);
    else if (kept.pop() === undefined) {
      throw new StoreError('ERR_ARCHIVE_ESCAPE', `${what} points outside the layer`);
    }
  }
  return Buffer.from(kept.join('/'), 'latin1');
}

/** A name for an error text: not UTF-8 is shown with replacement characters, very long is cut. */
export function nameText(name: Uint8Array): string {
  const text = Buffer.from(name.buffer, name.byteOffset, Math.min(name.length, 300)).toString('utf8');
  return name.length > 300 ? `${text}...` : text;
}
