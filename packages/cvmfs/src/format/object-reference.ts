import { formatHash, type ContentHash } from './content-hash.js';

/** What an object is; the letter is part of its name on the server and not of its hash. */
export const objectSuffixes = {
  file: '',
  chunk: 'P',
  catalog: 'C',
  history: 'H',
  certificate: 'X',
  metainfo: 'M',
} as const;
export type ObjectKind = keyof typeof objectSuffixes;

/** How an object is stored: as a zlib stream (RFC 1950), or as it is. */
export type ObjectCompression = 'zlib' | 'none';

/** An object by all that is needed to fetch and check it. A plain record, fit for `postMessage`. */
export interface ObjectReference {
  readonly kind: ObjectKind;
  readonly hash: ContentHash;
  readonly compression: ObjectCompression;
  /** Bytes after decompression; undefined where nothing says it. */
  readonly size: number | undefined;
}

/** `data/bf/2207...C`: where an object lies below the root of its repository on a server. */
export function objectPath({ hash, kind }: Pick<ObjectReference, 'hash' | 'kind'>): string {
  const text = formatHash(hash);
  return `data/${text.slice(0, 2)}/${text.slice(2)}${objectSuffixes[kind]}`;
}

/**
 * Names the content that a reference gives: equal for equal content. The compression belongs to it, because the same stored bytes are
 * another content when they are not inflated.
 */
export function contentKey({ hash, compression }: Pick<ObjectReference, 'hash' | 'compression'>): string {
  return formatHash(hash) + (compression === 'none' ? '.plain' : '');
}
