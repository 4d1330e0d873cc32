import { constants } from 'node:os';
import {
  Failed,
  FUSE_ROOT_NODE,
  Later,
  S_IFDIR,
  type Answer,
  type DirectorySink,
  type FileSyscalls,
  type FuseAbsence,
  type FuseAttributes,
  type FuseEntry,
  type FuseFileSystem,
  type FuseOpen,
  type FuseStatistics,
  type NodeNumber,
} from '@layerstore/linux';
import type { ObjectReference } from '../format/object-reference.js';
import type { LocalObjectSource } from '../objects/object-source.js';
import type { Answer as RevisionAnswer } from '../repository/answer.js';
import type { Entry, FileChunk, FileContent } from '../repository/entry.js';
import type { Revision } from '../repository/revision.js';
import type { BackingFiles } from './backing-files.js';
import type { Hint, Need } from './need.js';
import type { NodeTable } from './node-table.js';
import { OpenObjects } from './open-objects.js';
import type { OpenRevisions } from './open-revisions.js';

const { EINVAL, EISDIR, ENOMEM, ENOTDIR, ESTALE } = constants.errno;
const SECOND = 1_000_000_000n;
/** A revision never changes: the kernel need not ask again. */
const FOREVER = 365 * 86_400;
/** Revisions come and go; without this every path that leads through the mount point would ask three times. */
const PINS_SECONDS = 1;
const KEPT_ENTRIES = 100_000;
const KEPT_CHUNKED = 16;
/** Chunks that are fetched ahead of one that is read in its turn; of the first chunk one, for many read no more than a header. */
const CHUNKS_AHEAD = 3;

export interface LazyFileSystemOptions {
  readonly sys: FileSyscalls;
  readonly nodes: NodeTable;
  readonly revisions: OpenRevisions;
  readonly local: LocalObjectSource;
  /** Bytes from which the kernel reads a file itself; undefined where it cannot. */
  readonly passthroughFrom: number | undefined;
  /** Only in the thread that keeps them; others leave such files to it. */
  readonly backing?: BackingFiles;
  readonly hint: (hint: Hint) => void;
  /** One word that all threads share: not 0 while opens are recorded. */
  readonly recording: Int32Array;
}

interface Located {
  readonly revision: Revision;
  readonly entry: Entry;
}

/**
 * Pinned revisions as a read-only file system: the root has a directory for each, by its root hash. Catalogs and objects that are not in the cache
 * directory are {@link Need}s.
 */
export class LazyFileSystem implements FuseFileSystem {
  readonly #located = new Map<NodeNumber, Located>();
  readonly #chunked = new Map<NodeNumber, FileContent & Located>();
  #closed = 0;
  readonly #objects: OpenObjects;
  /** The chunk of each file that was opened last, to tell whether it is read in its order. */
  readonly #lastChunks = new Map<NodeNumber, number>();

  constructor(private readonly options: LazyFileSystemOptions) {
    this.#objects = new OpenObjects(options.sys, options.local);
  }

  lookup(parent: NodeNumber, name: Buffer): Answer<FuseEntry | FuseAbsence> {
    if (parent === FUSE_ROOT_NODE) return this.#lookupRevision(name);
    const directory = this.#locate(parent);
    if (directory instanceof Later || directory instanceof Failed) return directory;
    const { revision } = directory;
    const found = revision.lookupIn(directory.entry, name);
    if (found.kind === 'absent') return { absentSeconds: FOREVER };
    if (found.kind === 'needs') return need(found, revision);
    const entry = found.value;
    const node = this.#number(parent, directory, entry, name);
    if (node === undefined) return new Failed(ENOMEM);
    this.#keep(node, { revision, entry });
    return { node, attributes: attributesOf(node, entry), cacheSeconds: FOREVER };
  }

  attributes(node: NodeNumber): Answer<Omit<FuseEntry, 'node'>> {
    if (node === FUSE_ROOT_NODE)
      return { attributes: rootAttributes(this.options.revisions.pinned()), cacheSeconds: PINS_SECONDS };
    const located = this.#locate(node);
    if (located instanceof Later || located instanceof Failed) return located;
    return { attributes: attributesOf(node, located.entry), cacheSeconds: FOREVER };
  }

  readLink(node: NodeNumber): Answer<Uint8Array> {
    const located = this.#locate(node);
    if (located instanceof Later || located instanceof Failed) return located;
    return located.entry.type === 'symlink' ? located.entry.link : new Failed(EINVAL);
  }

  list(node: NodeNumber, position: number, sink: DirectorySink): Answer<void> {
    if (node === FUSE_ROOT_NODE) return this.#listRevisions(position, sink);
    const directory = this.#locate(node);
    if (directory instanceof Later || directory instanceof Failed) return directory;
    const { revision } = directory;
    if (directory.entry.type !== 'directory') return new Failed(ENOTDIR);
    const listed = revision.list(directory.entry);
    if (listed.kind !== 'found') return listed.kind === 'needs' ? need(listed, revision) : new Failed(ESTALE);
    for (let index = position; index < listed.value.length; index++) {
      const entry = listed.value[index];
      if (entry === undefined) break;
      const child = this.#number(node, directory, entry, entry.name);
      if (child === undefined) return new Failed(ENOMEM);
      const told = { node: child, attributes: attributesOf(child, entry), cacheSeconds: FOREVER };
      if (!sink(entry.name, told, index + 1)) break;
    }
    return undefined;
  }

  open(node: NodeNumber): Answer<FuseOpen> {
    if (Atomics.load(this.options.recording, 0) !== 0) this.options.hint({ kind: 'opened', node });
    const content = this.#content(node);
    if (content instanceof Later || content instanceof Failed) return content;
    // Chunks come as they are read.
    if (content.kind === 'chunks' || content.entry.size === 0) return { handle: 0 };
    const { backing, passthroughFrom } = this.options;
    const isLarge = passthroughFrom !== undefined && content.entry.size >= passthroughFrom;
    if (isLarge && backing === undefined) return this.#need(content.object, content);
    const opened = this.#objects.use(content.object);
    if (opened === undefined) return this.#need(content.object, content);
    const backingId = isLarge ? backing?.open(node, opened.fd) : undefined;
    return backingId === undefined ? { handle: 0 } : { handle: 1, backingId };
  }

  read(node: NodeNumber, _handle: number, offset: number, into: Uint8Array): Answer<number> {
    const content = this.#content(node);
    if (content instanceof Later || content instanceof Failed) return content;
    if (content.kind === 'chunks') return this.#readChunks(node, content, offset, into);
    const opened = this.#objects.use(content.object);
    return opened === undefined ? this.#need(content.object, content) : this.options.sys.read(opened.fd, into, offset);
  }

  release(node: NodeNumber, handle: number): void {
    this.#lastChunks.delete(node);
    if (handle === 0) return;
    if (this.options.backing === undefined) this.options.hint({ kind: 'release', node });
    else this.options.backing.release(node);
  }

  xattr(node: NodeNumber, name: Buffer): Answer<Uint8Array | undefined> {
    if (node === FUSE_ROOT_NODE) return undefined;
    const located = this.#locate(node);
    if (located instanceof Later || located instanceof Failed) return located;
    const { revision, entry } = located;
    if (entry.attributes.length === 0) return undefined;
    return revision.extendedAttributes(entry).find((attribute) => attribute.name.equals(name))?.value;
  }

  xattrNames(node: NodeNumber): Answer<readonly Uint8Array[]> {
    if (node === FUSE_ROOT_NODE) return [];
    const located = this.#locate(node);
    if (located instanceof Later || located instanceof Failed) return located;
    return located.revision.extendedAttributes(located.entry).map(({ name }) => name);
  }

  statistics(): FuseStatistics {
    return { blocks: 0, files: this.options.nodes.size };
  }

  #lookupRevision(name: Buffer): Answer<FuseEntry | FuseAbsence> {
    const { revisions, nodes } = this.options;
    const rootHash = name.toString('latin1');
    if (!revisions.pinned().includes(rootHash)) return { absentSeconds: 0 };
    const revision = revisions.get(rootHash);
    if (revision === undefined || revision instanceof Later) return revision ?? { absentSeconds: 0 };
    const node = nodes.number(FUSE_ROOT_NODE, name);
    if (node === undefined) return new Failed(ENOMEM);
    return { node, attributes: attributesOf(node, revision.root), cacheSeconds: PINS_SECONDS };
  }

  #listRevisions(position: number, sink: DirectorySink): Answer<void> {
    const pinned = this.options.revisions.pinned();
    for (const [index, rootHash] of pinned.entries()) {
      if (index < position) continue;
      const name = Buffer.from(rootHash, 'latin1');
      const found = this.#lookupRevision(name);
      if (found instanceof Later || found instanceof Failed) return found;
      if ('node' in found && !sink(name, found, index + 1)) break;
    }
    return undefined;
  }

  /** Hard links of one file have the node of the first of their names. */
  #number(parent: NodeNumber, directory: Located, entry: Entry, name: Uint8Array): NodeNumber | undefined {
    const { hardLinkGroup } = entry.inode;
    if (hardLinkGroup === 0) return this.options.nodes.number(parent, name);
    const listed = directory.revision.list(directory.entry);
    const names = listed.kind === 'found' ? firstLinks(listed.value) : undefined;
    return this.options.nodes.number(parent, names?.get(hardLinkGroup) ?? name);
  }

  #locate(node: NodeNumber): Answer<Located> {
    if (this.#closed !== this.options.revisions.closed) {
      this.#closed = this.options.revisions.closed;
      this.#located.clear();
      this.#chunked.clear();
    }
    const known = this.#located.get(node);
    if (known !== undefined) return known;
    const { nodes, revisions } = this.options;
    if (node === FUSE_ROOT_NODE || !nodes.has(node)) return new Failed(ESTALE);
    const parent = nodes.parent(node);
    if (parent === FUSE_ROOT_NODE) {
      const revision = revisions.get(nodes.name(node).toString('latin1'));
      if (revision === undefined) return new Failed(ESTALE);
      // Not kept: when nobody pins it any more it is closed.
      return revision instanceof Later ? revision : { revision, entry: revision.root };
    }
    const directory = this.#locate(parent);
    if (directory instanceof Later || directory instanceof Failed) return directory;
    const found = directory.revision.lookupIn(directory.entry, nodes.name(node));
    if (found.kind === 'needs') return need(found, directory.revision);
    if (found.kind === 'absent') return new Failed(ESTALE);
    const located = { revision: directory.revision, entry: found.value };
    this.#keep(node, located);
    return located;
  }

  #keep(node: NodeNumber, located: Located): void {
    if (this.#located.size >= KEPT_ENTRIES) this.#located.clear();
    this.#located.set(node, located);
  }

  #content(node: NodeNumber): Answer<FileContent & Located> {
    const located = this.#locate(node);
    if (located instanceof Later || located instanceof Failed) return located;
    if (located.entry.type !== 'file') return new Failed(EISDIR);
    const known = this.#chunked.get(node);
    if (known !== undefined) return known;
    const content = located.revision.content(located.entry);
    if (content.kind !== 'found')
      return content.kind === 'needs' ? need(content, located.revision) : new Failed(ESTALE);
    const found = { ...content.value, ...located };
    // Chunks are a query each time.
    if (found.kind === 'chunks') {
      if (this.#chunked.size >= KEPT_CHUNKED) this.#chunked.clear();
      this.#chunked.set(node, found);
    }
    return found;
  }

  #readChunks(
    node: NodeNumber,
    content: { readonly chunks: readonly FileChunk[] } & Located,
    offset: number,
    into: Uint8Array,
  ): Answer<number> {
    const { chunks } = content;
    let done = 0;
    for (let index = chunkAt(chunks, offset); done < into.length; index++) {
      const chunk = chunks[index];
      if (chunk === undefined) break;
      this.#expectAfter(node, chunks, index);
      const opened = this.#objects.use(chunk.object);
      if (opened === undefined) return this.#need(chunk.object, content);
      const from = offset + done - chunk.offset;
      const length = Math.min(chunk.size - from, into.length - done);
      done += this.options.sys.read(opened.fd, into.subarray(done, done + length), from);
    }
    return done;
  }

  /** When chunks are read in their order, the next ones are fetched meanwhile. */
  #expectAfter(node: NodeNumber, chunks: readonly FileChunk[], index: number): void {
    const last = this.#lastChunks.get(node);
    if (last === index) return;
    this.#lastChunks.set(node, index);
    if (index !== (last ?? -1) + 1) return;
    const ahead = index === 0 ? 1 : CHUNKS_AHEAD;
    const objects = chunks.slice(index + 1, index + 1 + ahead).map(({ object }) => object);
    if (objects.length > 0) this.options.hint({ kind: 'expect', objects });
  }

  #need(object: ObjectReference, { revision, entry }: Located): Later<Need> {
    return new Later({ object, subject: `${revision.record.repository}:${entry.path.toString('utf8')}` });
  }
}

function need(answer: Extract<RevisionAnswer<unknown>, { kind: 'needs' }>, { record }: Revision): Later<Need> {
  return new Later({ object: answer.catalog, subject: `${record.repository}:${answer.path.toString('utf8')}` });
}

const linksOf = new WeakMap<readonly Entry[], Map<number, Buffer>>();

/** Of each group of hard links in a listing the name that comes first. */
function firstLinks(listing: readonly Entry[]): Map<number, Buffer> {
  const known = linksOf.get(listing);
  if (known !== undefined) return known;
  const first = new Map<number, Buffer>();
  for (const { inode, name } of listing) {
    if (inode.hardLinkGroup !== 0 && !first.has(inode.hardLinkGroup)) first.set(inode.hardLinkGroup, name);
  }
  linksOf.set(listing, first);
  return first;
}

/** The chunk that holds an offset; the number of chunks behind the end. */
function chunkAt(chunks: readonly FileChunk[], offset: number): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const chunk = chunks[middle];
    if (chunk !== undefined && chunk.offset + chunk.size <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function attributesOf(node: NodeNumber, entry: Entry): FuseAttributes {
  const nanoseconds = ((entry.mtimeNs % SECOND) + SECOND) % SECOND;
  return {
    inode: node,
    mode: entry.mode,
    links: entry.nlink,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    major: entry.device?.major ?? 0,
    minor: entry.device?.minor ?? 0,
    modifiedSeconds: Number((entry.mtimeNs - nanoseconds) / SECOND),
    modifiedNanoseconds: Number(nanoseconds),
  };
}

function rootAttributes(pinned: readonly string[]): FuseAttributes {
  return {
    inode: FUSE_ROOT_NODE,
    mode: S_IFDIR | 0o700,
    links: 2 + pinned.length,
    uid: 0,
    gid: 0,
    size: 4096,
    major: 0,
    minor: 0,
    modifiedSeconds: Math.floor(Date.now() / 1000),
    modifiedNanoseconds: 0,
  };
}
