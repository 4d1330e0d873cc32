import { StoreError, type OperationOptions } from '@layerstore/core';
import { defaultLimits, type RepositoryLimits } from '../configuration/configuration.js';
import { formatHash, hashOfBytes } from '../format/content-hash.js';
import { CHUNKED_FILE, compressionOf, EXTERNAL_FILE, hashAlgorithmOf } from '../format/entry-flags.js';
import { parseExtendedAttributes, type ExtendedAttribute } from '../format/extended-attributes.js';
import { malformed } from '../format/malformed.js';
import type { ObjectReference } from '../format/object-reference.js';
import { hashPath } from '../format/path-hash.js';
import type { FetchOptions, LocalObjectSource } from '../objects/object-source.js';
import type { Answer, MissingCatalog } from './answer.js';
import { CatalogTree, type MountedCatalog } from './catalog-tree.js';
import { DirectoryListings, type DirectoryListing } from './directory-listings.js';
import type { Entry, FileChunk, FileContent } from './entry.js';
import { parseEntry } from './parse-entry.js';
import { parsePath, pathKey } from './path.js';
import type { RevisionReader } from './revision-reader.js';
import type { RevisionRecord } from './revision-record.js';

export interface OpenRevisionOptions {
  readonly record: RevisionRecord;
  readonly local: LocalObjectSource;
  /** Without it `load` fails, and whoever shares the cache directory has to fetch catalogs. */
  readonly fetch?: (object: ObjectReference, options: FetchOptions) => Promise<unknown>;
  readonly limits?: Partial<RepositoryLimits>;
  readonly linkVariables?: Readonly<Record<string, string>> | undefined;
}

/** The root catalog of a revision, as the object to fetch before the revision can be opened. */
export function rootCatalogOf({ rootCatalog, rootCatalogSize }: RevisionRecord): ObjectReference {
  return { kind: 'catalog', hash: rootCatalog, compression: 'zlib', size: rootCatalogSize };
}

/** @see RevisionReader */
export class Revision implements RevisionReader {
  readonly record: RevisionRecord;
  readonly root: Entry;
  /** The number that the root catalog says it was published with; undefined if it says none. */
  readonly publishedRevision: number | undefined;
  readonly #tree: CatalogTree;
  readonly #listings: DirectoryListings;
  readonly #limits: RepositoryLimits;

  /**
   * Opens a revision whose root catalog is in the cache directory. Synchronous, so also for a thread that must not wait.
   * @throws StoreError ERR_OBJECT_UNAVAILABLE when the root catalog is not there
   * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED
   */
  constructor(private readonly options: OpenRevisionOptions) {
    const { record, local, linkVariables } = options;
    this.record = record;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#listings = new DirectoryListings(this.#limits.keptEntries);
    this.#tree = new CatalogTree({ repository: record.repository, local, limits: this.#limits, linkVariables });
    const opened = this.#tree.openRoot(rootCatalogOf(record));
    if (opened.kind !== 'found') {
      throw new StoreError('ERR_OBJECT_UNAVAILABLE', 'its root catalog is not in the cache', {
        subject: `${record.repository}@${formatHash(record.rootCatalog)}`,
        hint: 'fetch it with `repository.revision` first',
      });
    }
    this.root = opened.value.root;
    this.publishedRevision = opened.value.catalog.revision;
  }

  lookup(path: string | Buffer): Answer<Entry> {
    let answer: Answer<Entry> = { kind: 'found', value: this.root };
    for (const name of parsePath(path)) {
      answer = this.lookupIn(answer.value, name);
      if (answer.kind !== 'found') return answer;
    }
    return answer;
  }

  lookupIn(directory: Entry, name: Buffer): Answer<Entry> {
    if (directory.type !== 'directory') return { kind: 'absent' };
    const listing = this.#read(directory);
    if (listing.kind !== 'found') return listing;
    const entry = listing.value.byName.get(pathKey(name));
    if (entry === undefined) return { kind: 'absent' };
    if (!entry.isMountPoint) return { kind: 'found', value: entry };
    const mounted = this.#responsibleFor(entry);
    return mounted.kind === 'found' ? { kind: 'found', value: mounted.value.root } : mounted;
  }

  list(directory: Entry): Answer<readonly Entry[]> {
    if (directory.type !== 'directory') throw this.#wrongType(directory, 'not a directory');
    const listing = this.#read(directory);
    return listing.kind === 'found' ? { kind: 'found', value: listing.value.entries } : listing;
  }

  content(file: Entry): Answer<FileContent> {
    if (file.type !== 'file') throw this.#wrongType(file, 'not a file');
    if (file.object !== undefined) return { kind: 'found', value: { kind: 'object', object: file.object } };
    const mounted = this.#tree.responsibleFor(file.path.subarray(0, file.path.lastIndexOf('/')));
    return mounted.kind === 'found' ? { kind: 'found', value: this.#chunks(file, mounted.value) } : mounted;
  }

  extendedAttributes(entry: Entry): readonly ExtendedAttribute[] {
    return parseExtendedAttributes(entry.attributes, this.#subject(entry.path));
  }

  async load({ catalog, path }: MissingCatalog, options: Pick<OperationOptions, 'signal'> = {}): Promise<void> {
    if (this.options.fetch === undefined) {
      throw new StoreError('ERR_CLOSED', 'the revision was opened without a network', { subject: this.#subject(path) });
    }
    await this.options.fetch(catalog, { ...options, urgency: 'demand' });
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]();
  }

  #read(directory: Entry): Answer<DirectoryListing> {
    const key = pathKey(directory.path);
    const known = this.#listings.get(key);
    if (known !== undefined) return { kind: 'found', value: known };
    const mounted = this.#responsibleFor(directory);
    if (mounted.kind !== 'found') return mounted;
    const listing = this.#parse(directory.path, mounted.value);
    this.#listings.add(key, listing);
    return { kind: 'found', value: listing };
  }

  #responsibleFor(directory: Entry): Answer<MountedCatalog> {
    const mounted = this.#tree.responsibleFor(directory.path);
    const isOther = mounted.kind === 'found' && directory.isMountPoint && !mounted.value.path.equals(directory.path);
    if (isOther) throw malformed(this.#subject(directory.path), 'it is to have a catalog, and none is named');
    return mounted;
  }

  #parse(directory: Buffer, mounted: MountedCatalog): DirectoryListing {
    const context = this.#tree.rowContext(mounted, directory);
    const byName = new Map<string, Entry>();
    for (const row of mounted.catalog.rowsIn(this.#tree.innerPath(mounted, directory))) {
      const entry = parseEntry(row, context);
      const key = pathKey(entry.name);
      if (byName.has(key)) throw malformed(context.subject, `two entries of one name (${entry.name.toString('utf8')})`);
      byName.set(key, entry);
    }
    const names = [...byName.keys()].sort();
    const entries = names.flatMap((name) => byName.get(name) ?? []).filter(({ isHidden }) => !isHidden);
    return { entries, byName };
  }

  #chunks(file: Entry, mounted: MountedCatalog): FileContent {
    const subject = this.#subject(file.path);
    const inner = this.#tree.innerPath(mounted, file.path);
    const flags = Number(mounted.catalog.rowOf(inner)?.['flags'] ?? 0n);
    if ((flags & EXTERNAL_FILE) !== 0) {
      throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'its content lies on servers outside the repository', {
        subject,
        hint: 'have it published with its content',
      });
    }
    const algorithm = hashAlgorithmOf(flags);
    const compression = compressionOf(flags);
    const isChunked = (flags & CHUNKED_FILE) !== 0 && algorithm !== undefined && compression !== undefined;
    if (!isChunked) throw malformed(subject, 'its content is stored in no known way');
    let end = 0;
    const chunks = mounted.catalog.chunkRows(hashPath(inner)).map((row): FileChunk => {
      const { offset, size, hash: bytes } = row;
      const hash = Buffer.isBuffer(bytes) ? hashOfBytes(algorithm, bytes) : undefined;
      const isNext = hash !== undefined && offset === BigInt(end) && typeof size === 'bigint';
      if (!isNext || size < 1n || size > BigInt(file.size - end))
        throw malformed(subject, 'its chunks do not fit together');
      const chunk = { offset: end, size: Number(size) };
      end += chunk.size;
      return { ...chunk, object: { kind: 'chunk', hash, compression, size: chunk.size } };
    });
    if (end !== file.size) throw malformed(subject, 'its chunks do not fit together');
    return { kind: 'chunks', chunks };
  }

  #wrongType(entry: Entry, reason: string): StoreError {
    return new StoreError('ERR_INVALID_ARGUMENT', reason, { subject: this.#subject(entry.path) });
  }

  #subject(path: Buffer): string {
    return `${this.record.repository}:${path.length === 0 ? '/' : path.toString('utf8')}`;
  }
}
