import { createHash, type Hash } from 'node:crypto';

/** Hash algorithms of CernVM-FS. All are cut or made to 20 bytes. */
export const hashAlgorithms = ['sha1', 'rmd160', 'shake128'] as const;
export type HashAlgorithm = (typeof hashAlgorithms)[number];

export const HASH_LENGTH = 20;

/** The hash of an object's stored bytes, that is after compression. Compared by its text. */
export interface ContentHash {
  readonly algorithm: HashAlgorithm;
  /** 40 lower-case hex digits. */
  readonly hex: string;
}

/** What stands behind the hex digits in texts and file names; SHA-1 has none. */
const tails: Readonly<Record<HashAlgorithm, string>> = { sha1: '', rmd160: '-rmd160', shake128: '-shake128' };

/** `bf22...` or `bf22...-rmd160`, as manifests, histories and nested catalogs write it. */
export function formatHash({ algorithm, hex }: ContentHash): string {
  return hex + tails[algorithm];
}

/** The reverse of {@link formatHash}; undefined for anything else. */
export function parseHash(text: string): ContentHash | undefined {
  const [, hex, tail = ''] = /^([0-9a-f]{40})(-[a-z0-9]+)?$/.exec(text) ?? [];
  const algorithm = hashAlgorithms.find((candidate) => tails[candidate] === tail);
  return hex === undefined || algorithm === undefined ? undefined : { algorithm, hex };
}

/** A hash from the bytes that a catalog row holds; undefined if they are not 20. */
export function hashOfBytes(algorithm: HashAlgorithm, bytes: Buffer): ContentHash | undefined {
  return bytes.length === HASH_LENGTH ? { algorithm, hex: bytes.toString('hex') } : undefined;
}

export function isSameHash(one: ContentHash, other: ContentHash): boolean {
  return one.algorithm === other.algorithm && one.hex === other.hex;
}

/** Begins a hash; `digest('hex')` of it fits {@link ContentHash.hex}. */
export function startHash(algorithm: HashAlgorithm): Hash {
  switch (algorithm) {
    case 'sha1':
      return createHash('sha1');
    case 'rmd160':
      return createHash('ripemd160');
    case 'shake128':
      return createHash('shake128', { outputLength: HASH_LENGTH });
  }
}

export function hashBytes(algorithm: HashAlgorithm, bytes: Uint8Array): ContentHash {
  return { algorithm, hex: startHash(algorithm).update(bytes).digest('hex') };
}
