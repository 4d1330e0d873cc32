import type { ContentHash } from '../format/content-hash.js';

/**
 * A pinned revision as a plain record: with the cache directory it is all that another thread or process needs to read it. Its trust was
 * settled when it was made; everything below the root catalog is found by hash.
 */
export interface RevisionRecord {
  readonly repository: string;
  readonly rootCatalog: ContentHash;
  /** Bytes of the root catalog after decompression, where a manifest or history says it. */
  readonly rootCatalogSize: number | undefined;
  /** Undefined for a revision that was asked for by its root hash. */
  readonly revision: number | undefined;
  readonly tag: string | undefined;
}

/** Which revision is wanted. */
export type RevisionChoice =
  | { readonly kind: 'newest' }
  | { readonly kind: 'tag'; readonly tag: string }
  /** Trusted as it stands: whoever passes a hash has it from a place that vouches for it. */
  | { readonly kind: 'root-hash'; readonly rootCatalog: ContentHash };
