import type { ObjectReference } from '../format/object-reference.js';

/**
 * What a revision answers at once from what is on disk and in memory. `needs`: a catalog has to be fetched first, by `Revision.load`, or
 * by `ObjectCache.fetch` in whatever thread or process shares the cache directory; then ask again.
 */
export type Answer<T> =
  | { readonly kind: 'found'; readonly value: T }
  /** There is no such name, for as long as the revision lives; or it is below something that is no directory. */
  | { readonly kind: 'absent' }
  | MissingCatalog;

export interface MissingCatalog {
  readonly kind: 'needs';
  readonly catalog: ObjectReference;
  /** Where it is mounted, for messages. */
  readonly path: Buffer;
}
