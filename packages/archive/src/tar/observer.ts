/**
 * Sees every byte of an archive while it is read, in order; both together are the archive. The buffers are valid only
 * during the call.
 */
export interface TarObserver {
  /** Headers, padding, sparse maps, the end, and whatever follows it. Those of a member come before `next()` returns it. */
  segment(bytes: Buffer): void;
  /** Content of the current member as it is stored: packed for sparse files. */
  payload(bytes: Buffer): void;
}
