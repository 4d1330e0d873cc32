import type { OperationOptions } from '@layerstore/core';
import type { ExtendedAttribute } from '../format/extended-attributes.js';
import type { Answer, MissingCatalog } from './answer.js';
import type { Entry, FileContent } from './entry.js';
import type { RevisionRecord } from './revision-record.js';

/**
 * One revision of a repository: a tree that never changes. Implemented by `Revision`.
 *
 * Look-ups answer at once, from catalogs that are on disk; a whole directory is read at a time and kept in memory while there is room. A
 * catalog that some other thread or process fetched into the cache directory is found by the next look-up without being told.
 */
export interface RevisionReader extends Disposable {
  readonly record: RevisionRecord;
  readonly root: Entry;

  /**
   * An entry by its absolute path: text, or raw bytes. Symbolic links are not followed.
   * @throws StoreError ERR_INVALID_ARGUMENT for a path with `.`, `..`, NUL or not from the root
   * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED for a catalog that cannot be read; it stays so
   */
  lookup(path: string | Buffer): Answer<Entry>;

  /** An entry by its directory and the raw bytes of its name. A directory with a nested catalog has the attributes of that catalog's root. */
  lookupIn(directory: Entry, name: Buffer): Answer<Entry>;

  /**
   * All entries of a directory but `.` and `..`, in the order of their bytes; hidden ones are left out. Directories with a nested catalog are told as
   * the catalog above has them, so that listing them fetches nothing. The array is shared: it is not to be changed.
   * @throws StoreError ERR_INVALID_ARGUMENT for an entry that is no directory
   */
  list(directory: Entry): Answer<readonly Entry[]>;

  /**
   * Where the bytes of a file are. A query for files in chunks, for others none.
   * @throws StoreError ERR_INVALID_ARGUMENT for an entry that is no file
   * @throws StoreError ERR_UNSUPPORTED_FORMAT for a file whose content lies on servers outside the repository
   * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED
   */
  content(file: Entry): Answer<FileContent>;

  /** @throws StoreError ERR_MALFORMED_REPOSITORY */
  extendedAttributes(entry: Entry): readonly ExtendedAttribute[];

  /**
   * Fetches a catalog that an answer asked for.
   * @throws StoreError as `ObjectSource.fetch`; ERR_CLOSED for a revision that was opened without a network
   */
  load(missing: MissingCatalog, options?: Pick<OperationOptions, 'signal'>): Promise<void>;
}
