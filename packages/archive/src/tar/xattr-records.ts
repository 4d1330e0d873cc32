import type { Xattr } from './entry.js';
import { exceeded, malformed } from './archive-errors.js';

/**
 * Extended attributes in PAX records.
 *
 * - `SCHILY.xattr.NAME` with the raw value: star, GNU tar, Go, bsdtar. A key ends at its first `=`, so GNU tar writes
 *   `=` in a name as `%3D` and `%` as `%25`; Go decodes neither and writes every other byte as it is.
 * - `LIBARCHIVE.xattr.NAME` with URL-encoded name and base64 value: bsdtar, beside the first form.
 */
const SCHILY = 'SCHILY.xattr.';
const LIBARCHIVE = 'LIBARCHIVE.xattr.';

/**
 * Adds the attribute that a record stands for; other records are passed over. Names are Latin-1 strings.
 * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED
 */
export function addXattr(xattrs: Map<string, Buffer>, key: string, value: Buffer, limit: number): void {
  if (key.startsWith(SCHILY)) {
    setXattr(xattrs, decodeEquals(key.slice(SCHILY.length)), value, limit);
  } else if (key.startsWith(LIBARCHIVE)) {
    const name = key
      .slice(LIBARCHIVE.length)
      .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
    setXattr(xattrs, name, Buffer.from(value.toString('latin1'), 'base64'), limit);
  }
}

function setXattr(xattrs: Map<string, Buffer>, name: string, value: Buffer, limit: number): void {
  if (name === '' || name.includes('\0')) throw malformed('an extended attribute has no valid name');
  if (value.length > limit) throw exceeded('bytes of an extended attribute', limit);
  xattrs.set(name, value);
}

/** The attributes in the order of their records. */
export function toXattrs(xattrs: ReadonlyMap<string, Buffer>): readonly Xattr[] {
  return Array.from(xattrs, ([name, value]) => ({ name: Buffer.from(name, 'latin1'), value }));
}

/** The key of the record that carries an attribute. */
export function xattrKey(name: Buffer): Buffer {
  return Buffer.from(SCHILY + encodeEquals(name.toString('latin1')), 'latin1');
}

function decodeEquals(name: string): string {
  return name.includes('%') ? name.replace(/%(3D|25)/g, (_, hex) => (hex === '3D' ? '=' : '%')) : name;
}

/** `%` is touched only where it would be taken for an escape, because Go does not decode. */
function encodeEquals(name: string): string {
  return name.replace(/%(?=3D|25)/g, '%25').replaceAll('=', '%3D');
}
