import type { OperationOptions } from '@layerstore/core';
import type { ObjectReference } from '../format/object-reference.js';

/**
 * The objects in a cache directory, without a network. Every call is synchronous and takes a few microseconds, so that a thread that must
 * not wait can ask; several threads and processes share one directory. Implemented by `LocalObjects`.
 */
export interface LocalObjectSource {
  /**
   * The file that holds exactly the decompressed content of an object, if it is there and known to be intact. Between this call and the use of the
   * path another process may have cleaned it up: who needs certainty opens it.
   * @throws StoreError ERR_IO
   */
  find(object: ObjectReference): LocalObject | undefined;
  /**
   * Opens the same file for reading; the caller closes the descriptor. What is open stays readable when the cache is cleaned up.
   * @throws StoreError ERR_IO
   */
  open(object: ObjectReference): OpenedObject | undefined;
}

export interface LocalObject {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export interface OpenedObject extends LocalObject {
  readonly fd: number;
}

export interface FetchOptions extends Pick<OperationOptions, 'signal'> {
  /** Reads that somebody waits for go before those that are only expected. Default: demand. */
  readonly urgency?: 'demand' | 'prefetch';
}

/** The same with a network behind it. Implemented by `ObjectCache`. */
export interface ObjectSource {
  readonly local: LocalObjectSource;
  /**
   * Brings an object into the cache directory, unless it is there, and returns its file: fetched from the first source that has it intact,
   * its hash checked over the stored bytes, its size against the reference. Whoever asks for the same content meanwhile gets the same
   * download; it is given up when nobody waits any more.
   * @throws StoreError ERR_REPOSITORY_UNREACHABLE when no server or proxy answers
   * @throws StoreError ERR_OBJECT_UNAVAILABLE when they answer, and none has it intact; `cause` tells of the first that was asked
   * @throws StoreError ERR_SIZE_MISMATCH, ERR_LIMIT_EXCEEDED for an intact object of another size than the reference says
   * @throws StoreError ERR_NO_SPACE, ERR_IO, ERR_ABORTED
   */
  fetch(object: ObjectReference, options?: FetchOptions): Promise<LocalObject>;
  /**
   * Fetches many objects, as many at a time as the configuration allows; one that cannot be had does not stop the others.
   * @returns what failed
   * @throws StoreError ERR_ABORTED
   */
  prefetch(
    objects: Iterable<ObjectReference>,
    options?: Pick<OperationOptions, 'signal'>,
  ): Promise<readonly FailedFetch[]>;
}

export interface FailedFetch {
  readonly object: ObjectReference;
  readonly error: unknown;
}
