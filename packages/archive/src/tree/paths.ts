/**
 * Paths below the root of a tree: bytes, components joined by `/`, no slash at either end; the root itself is empty.
 */
import { StoreError } from '@layerstore/core';

/**
 * The kernel's PATH_MAX without its NUL. Deeper trees can be made by changing directory, but neither named nor
 * unpacked.
 */
export const MAX_PATH_BYTES = 4095;

export const ROOT = Buffer.alloc(0);

const SLASH = 0x2f;
const separator = Buffer.from('/');

/** @throws StoreError ERR_LIMIT_EXCEEDED for a path that the kernel would not take */
export function joinPath(parent: Buffer, name: Buffer): Buffer {
  if (parent.length === 0) return name;
  if (parent.length + 1 + name.length > MAX_PATH_BYTES) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `the tree is deeper than paths of ${MAX_PATH_BYTES} bytes reach`, {
      subject: `${pathText(parent).slice(0, 200)}...`,
      hint: 'remove or rename the deep directories',
    });
  }
  return Buffer.concat([parent, separator, name]);
}

export function parentOf(path: Buffer): Buffer {
  return path.subarray(0, Math.max(path.lastIndexOf(SLASH), 0));
}

export function baseName(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}

/** The components of a path; leading, trailing and doubled slashes are ignored. */
export function splitPath(path: Buffer): Buffer[] {
  const components: Buffer[] = [];
  let start = 0;
  for (let end = path.indexOf(SLASH); start < path.length; end = path.indexOf(SLASH, start)) {
    const stop = end === -1 ? path.length : end;
    if (stop > start) components.push(path.subarray(start, stop));
    start = stop + 1;
  }
  return components;
}

/** The order of names in walks and archives: by bytes, which does not depend on a locale. */
export function byBytes(one: Buffer, two: Buffer): number {
  return Buffer.compare(one, two);
}

/** A path for an error text: bytes that are not UTF-8 show as replacement characters. */
export function pathText(path: Buffer): string {
  return path.toString('utf8');
}
