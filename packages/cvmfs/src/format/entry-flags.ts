import { hashAlgorithms, type HashAlgorithm } from './content-hash.js';
import type { ObjectCompression } from './object-reference.js';

/** Bits of the column `flags` of a catalog, schema 2.5. */
export const DIRECTORY = 1;
/** A directory whose content is in a nested catalog; its row in the catalog above. */
export const NESTED_MOUNT_POINT = 2;
/** The root of a nested catalog; its row in the nested catalog. */
export const NESTED_ROOT = 32;
export const REGULAR_FILE = 4;
/** Set together with {@link REGULAR_FILE}. */
export const SYMBOLIC_LINK = 8;
/** A fifo, socket or device; set together with {@link REGULAR_FILE}. */
export const SPECIAL_FILE = 16;
export const CHUNKED_FILE = 64;
/** The content lies on other servers under the file's own path. */
export const EXTERNAL_FILE = 128;
export const BIND_MOUNT_POINT = 0x4000;
/** Found by name and not listed. */
export const HIDDEN = 0x8000;
/** Not to be kept in the page cache. */
export const DIRECT_IO = 0x10000;

const HASH_SHIFT = 8;
const COMPRESSION_SHIFT = 11;
const THREE_BITS = 7;

const compressions: readonly ObjectCompression[] = ['zlib', 'none'];

/** The hash algorithm of a file's objects; undefined for one that this format does not have. */
export function hashAlgorithmOf(flags: number): HashAlgorithm | undefined {
  return hashAlgorithms[(flags >> HASH_SHIFT) & THREE_BITS];
}

export function compressionOf(flags: number): ObjectCompression | undefined {
  return compressions[(flags >> COMPRESSION_SHIFT) & THREE_BITS];
}

/** The bits that say how the content of a file is hashed and stored. */
export function contentFlags(algorithm: HashAlgorithm, compression: ObjectCompression): number {
  return (hashAlgorithms.indexOf(algorithm) << HASH_SHIFT) | (compressions.indexOf(compression) << COMPRESSION_SHIFT);
}
