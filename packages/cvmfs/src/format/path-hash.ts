import { createHash } from 'node:crypto';

/** Two signed 64-bit integers, the key of an entry in a catalog. */
export interface PathHash {
  readonly first: bigint;
  readonly second: bigint;
}

/** The parent of the root: no path has this hash. */
export const noPath: PathHash = { first: 0n, second: 0n };

/** MD5 of an absolute path inside the repository, `/a/b`; empty for the root. Cut into two little-endian integers. */
export function hashPath(path: Buffer): PathHash {
  const digest = createHash('md5').update(path).digest();
  return { first: digest.readBigInt64LE(0), second: digest.readBigInt64LE(8) };
}
