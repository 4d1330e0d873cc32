import type { NodeNumber } from '@layerstore/linux';
import type { ObjectReference } from '../format/object-reference.js';
import type { RevisionRecord } from '../repository/revision-record.js';

/** What a request waits for: an object, which the thread with the network brings into the cache directory. */
export interface Need {
  readonly object: ObjectReference;
  /** The file or catalog that it belongs to, for the log. */
  readonly subject: string;
}

/** A thread's message that nobody waits for. */
export type Hint =
  /** A file that the kernel read itself was closed. */
  | { readonly kind: 'release'; readonly node: NodeNumber }
  /** A file was opened while opens are recorded. */
  | { readonly kind: 'opened'; readonly node: NodeNumber }
  /** Objects that will be wanted soon. */
  | { readonly kind: 'expect'; readonly objects: readonly ObjectReference[] };

export interface PinnedRevision {
  readonly rootHash: string;
  readonly record: RevisionRecord;
}

/** What the server's main thread tells the threads that serve queues. */
export type PinMessage =
  { readonly kind: 'pin'; readonly revision: PinnedRevision } | { readonly kind: 'unpin'; readonly rootHash: string };
