import { malformed } from './malformed.js';

export interface ExtendedAttribute {
  /** With its namespace: `user.colour`. */
  readonly name: Buffer;
  readonly value: Buffer;
}

const VERSION = 1;
/** Count, lengths of keys and lengths of values are one byte each. */
export const ATTRIBUTE_LIMIT = 255;

/**
 * Reads the column `xattr` of a catalog: version, count, then per attribute the lengths of key and value and both.
 * @throws StoreError ERR_MALFORMED_REPOSITORY
 */
export function parseExtendedAttributes(blob: Buffer, subject: string): ExtendedAttribute[] {
  const truncated = (): Error => malformed(subject, 'its extended attributes end too early');
  if (blob.length === 0) return [];
  if (blob.length < 2) throw truncated();
  if (blob[0] !== VERSION) throw malformed(subject, `extended attributes of version ${blob[0] ?? 0} are not known`);
  const attributes: ExtendedAttribute[] = [];
  let at = 2;
  for (let left = blob[1] ?? 0; left > 0; left -= 1) {
    const [keyLength, valueLength] = [blob[at], blob[at + 1]];
    if (keyLength === undefined || valueLength === undefined) throw truncated();
    const value = at + 2 + keyLength;
    if (value + valueLength > blob.length) throw truncated();
    const name = blob.subarray(at + 2, value);
    if (name.length === 0 || name.includes(0)) throw malformed(subject, 'an extended attribute has no name');
    attributes.push({ name, value: blob.subarray(value, value + valueLength) });
    at = value + valueLength;
  }
  return attributes;
}

/** Whether all of them can be stored: at most 255, names and values of at most 255 bytes. */
export function fitsExtendedAttributes(attributes: readonly ExtendedAttribute[]): boolean {
  return (
    attributes.length <= ATTRIBUTE_LIMIT &&
    attributes.every(({ name, value }) => name.length <= ATTRIBUTE_LIMIT && value.length <= ATTRIBUTE_LIMIT)
  );
}

/** The reverse of {@link parseExtendedAttributes}, for attributes that fit; null for none. */
export function serialiseExtendedAttributes(attributes: readonly ExtendedAttribute[]): Buffer | null {
  if (attributes.length === 0) return null;
  return Buffer.concat([
    Buffer.from([VERSION, attributes.length]),
    ...attributes.flatMap(({ name, value }) => [Buffer.from([name.length, value.length]), name, value]),
  ]);
}
