import { StoreError } from '@layerstore/core';

const SLASH = 0x2f;
const NAME_MAX = 255;
const PATH_MAX = 4096;

/** Whether bytes can be the name of an entry: what a kernel takes, and nothing that leads elsewhere. */
export function isEntryName(name: Buffer): boolean {
  if (name.length === 0 || name.length > NAME_MAX || name.includes(SLASH) || name.includes(0)) return false;
  return !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)));
}

/** Whether bytes are the path of something inside the repository, in its one spelling: empty, or `/a/b`. */
export function isEntryPath(path: Buffer): boolean {
  return path.length < PATH_MAX && (path.length === 0 || splitPath(path).every(isEntryName)) && leads(path);
}

const leads = (path: Buffer): boolean => path.length === 0 || path[0] === SLASH;

/** The components of `/a/b`; whoever needs them to be names asks {@link isEntryName}. */
export function splitPath(path: Buffer): Buffer[] {
  const components: Buffer[] = [];
  for (let start = 1; start <= path.length;) {
    const slash = path.indexOf(SLASH, start);
    const end = slash < 0 ? path.length : slash;
    components.push(path.subarray(start, end));
    start = end + 1;
  }
  return components;
}

/**
 * The components of a path that a caller gave; `/` is the root, and a slash at the end is allowed.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function parsePath(path: string | Buffer): Buffer[] {
  const bytes = typeof path === 'string' ? Buffer.from(path, 'utf8') : path;
  const trimmed = bytes.at(-1) === SLASH ? bytes.subarray(0, -1) : bytes;
  if (isEntryPath(trimmed)) return splitPath(trimmed);
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not an absolute path inside a repository', {
    subject: bytes.toString('utf8'),
    hint: 'a path is /a/b, without . and ..',
  });
}

/** Paths as keys of maps: a string with one character per byte. */
export type PathKey = string;

export const pathKey = (path: Buffer): PathKey => path.toString('latin1');

/** The key of the directory that a path is in; undefined for the root. */
export function parentKey(key: PathKey): PathKey | undefined {
  return key === '' ? undefined : key.slice(0, key.lastIndexOf('/'));
}
