import { StoreError, type IdMaps } from '@layerstore/core';
import { nativeSyscalls, type FileStatus } from '@layerstore/linux';
import { OPAQUE_MARKER } from '../apply/whiteout-name.js';
import type { ByteSource } from '../byte-source.js';
import type { DiffSource } from '../layer-tree.js';
import type { EntryType, TarEntry, Xattr } from '../tar/entry.js';
import type { TarWriteOptions } from '../tar/writer.js';
import { isAufsMarker, whiteoutOf } from '../tree/aufs-markers.js';
import { fileKind, inodeKey, isWhiteoutDevice } from '../tree/file-kind.js';
import { readXattrs, readXattrsOfOpen } from '../tree/overlay-marks.js';
import { baseName, joinPath, parentOf, pathText } from '../tree/paths.js';
import type { StackEntry } from '../tree/stack.js';
import { changedEntry } from './changed-entry.js';
import { carriedXattrs } from './compare-entries.js';
import { Comparison, type ComparisonOptions, type Difference, type Presence } from './comparison.js';
import { TarOutput } from './tar-output.js';
import { withParents } from './with-parents.js';

export interface DiffWriteOptions extends TarWriteOptions, ComparisonOptions {
  /** Greatest length of a chunk; default 1 MiB. */
  readonly chunkBytes?: number;
}

/**
 * Writes what a layer changes as a layer tar (OCI image-spec, layer.md): PAX with nanosecond times, names without
 * leading slash, `./` for the root, sorted with parents first. Deleted names become `.wh.NAME`, a directory that
 * replaces a lower one gets `.wh..wh..opq`; both only where a lower layer has something to hide. Names of one inode
 * become hard links to the first of them. The same trees give the same bytes. Applied to what lies below, the archive
 * gives the upper's view back.
 *
 * One thing is not given back: a name that an overlay split from its hard links by copying it up, and to which nothing
 * was done, is no change.
 *
 * Left out are sockets, extended attributes of the overlay, SELinux labels and NFS ACLs. Holes are written as zeros.
 *
 * Costs as {@link findChanges}, and reads the content of what is new or changed. Chunks are in one
 * buffer. The trees must not change meanwhile.
 * @throws StoreError ERR_IO when they did so: the archive ends unfinished rather than wrong
 * @throws StoreError ERR_NOT_SUPPORTED for a name that begins with `.wh.` or a character device 0:0, which would mean
 * something else in a layer
 * @throws StoreError ERR_LIMIT_EXCEEDED for paths over 4095 bytes
 */
export function writeDiff(source: DiffSource, options: DiffWriteOptions = {}): ByteSource {
  return new DiffWriter(source, options, 'layer').run();
}

/**
 * Writes a directory with all it holds as a tar: the export of a container's view. Names and devices that have a
 * meaning in layers are written as they are.
 * @param path absolute path of the directory
 * @param options with id maps, the owners in the directory are the host's
 * @throws StoreError ERR_IO, ERR_BUSY when another file system is mounted below `path`, ERR_LIMIT_EXCEEDED
 */
export function writeTree(path: string, options: DiffWriteOptions & { readonly idMaps?: IdMaps } = {}): ByteSource {
  const { idMaps, ...write } = options;
  const upper = { path, dialect: 'complete', ...(idMaps === undefined ? {} : { idMaps }) } as const;
  return new DiffWriter({ upper, lowers: [] }, write, 'tree').run();
}

class DiffWriter {
  readonly #output: TarOutput;
  /** First name of each inode that has several. */
  readonly #written = new Map<string, Buffer>();

  constructor(
    private readonly source: DiffSource,
    private readonly options: DiffWriteOptions,
    private readonly form: 'layer' | 'tree',
  ) {
    this.#output = new TarOutput(options, options.chunkBytes);
  }

  *run(): ByteSource {
    using comparison = new Comparison(this.source, 'layer', this.options);
    for (const difference of withParents(comparison.differences(), isWritten)) {
      if (this.form === 'layer') refuseMeaning(difference);
      if (difference.kind === 'delete')
        yield* this.#marker(parentOf(difference.path), whiteoutOf(baseName(difference.path)));
      else yield* this.#presence(comparison, difference);
    }
    yield* this.#output.end();
  }

  *#presence(comparison: Comparison, { path, entry, opaque }: Presence): ByteSource {
    const kind = fileKind(entry.status);
    switch (kind) {
      case 'socket':
        return;
      case 'directory':
        yield* this.#output.header(tarEntry(kind, path, entry.status, { xattrs: xattrsOf(entry) }));
        if (opaque) yield* this.#marker(path, Buffer.from(OPAQUE_MARKER));
        return;
      default: {
        const first = this.#firstName(path, entry.status);
        if (first !== undefined) {
          yield* this.#output.header(tarEntry('hardlink', path, entry.status, { linkName: first }));
        } else if (kind === 'file') {
          yield* this.#file(path, entry, comparison);
        } else {
          const linkName = kind === 'symlink' ? entry.files.linkTarget(entry.relative) : empty;
          yield* this.#output.header(tarEntry(kind, path, entry.status, { linkName, xattrs: xattrsOf(entry) }));
        }
      }
    }
  }

  /** The name under which this inode was written before; otherwise the name is noted as its first. */
  #firstName(path: Buffer, status: FileStatus): Buffer | undefined {
    if (status.links < 2) return undefined;
    const key = inodeKey(status);
    const first = this.#written.get(key);
    if (first === undefined) this.#written.set(key, path);
    return first;
  }

  *#file(path: Buffer, entry: StackEntry, comparison: Comparison): ByteSource {
    const fd = entry.files.open(entry.relative);
    try {
      const { own, marks } = readXattrsOfOpen(entry.files, fd, entry.relative);
      const xattrs = carriedXattrs(own);
      if (entry.tree.dialect === 'overlay' && marks.metacopy) {
        yield* this.#attributesWithContent(path, entry, xattrs, comparison.contentOf(path, entry));
        return;
      }
      const status = statusOfOpen(fd, entry, path);
      yield* this.#output.header(tarEntry('file', path, status, { xattrs }));
      yield* this.#output.content(fd, status.size, entry.path);
    } finally {
      nativeSyscalls().close(fd);
    }
  }

  /** A file of which only the attributes were copied up. */
  *#attributesWithContent(path: Buffer, entry: StackEntry, xattrs: Xattr[], content: StackEntry): ByteSource {
    const fd = content.files.open(content.relative);
    try {
      const { size } = statusOfOpen(fd, content, path);
      yield* this.#output.header(tarEntry('file', path, { ...entry.status, size }, { xattrs }));
      yield* this.#output.content(fd, size, content.path);
    } finally {
      nativeSyscalls().close(fd);
    }
  }

  #marker(directory: Buffer, name: Buffer): ByteSource {
    return this.#output.header(tarEntry('file', joinPath(directory, name), markerStatus, {}));
  }
}

interface Extras {
  readonly linkName?: Buffer;
  readonly xattrs?: readonly Xattr[];
}

type EntryStatus = Pick<FileStatus, 'mode' | 'uid' | 'gid' | 'size' | 'modifiedNs' | 'specialMajor' | 'specialMinor'>;

/** Whiteouts and opaque markers have no attributes of their own, and two runs shall give the same bytes. */
const markerStatus: EntryStatus = {
  mode: 0o600,
  uid: 0,
  gid: 0,
  size: 0,
  modifiedNs: 0n,
  specialMajor: 0,
  specialMinor: 0,
};

const empty = Buffer.alloc(0);

function tarEntry(
  type: EntryType,
  path: Buffer,
  status: EntryStatus,
  { linkName = empty, xattrs = [] }: Extras,
): TarEntry {
  const device = type === 'character' || type === 'block';
  return {
    type,
    name: type === 'directory' ? directoryName(path) : path,
    linkName,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    userName: empty,
    groupName: empty,
    size: type === 'file' ? status.size : 0,
    modifiedNs: status.modifiedNs,
    deviceMajor: device ? status.specialMajor : 0,
    deviceMinor: device ? status.specialMinor : 0,
    xattrs,
  };
}

function directoryName(path: Buffer): Buffer {
  return Buffer.concat([path.length === 0 ? Buffer.from('.') : path, Buffer.from('/')]);
}

/** What is open counts: the name may have been given to another file since, and the size may be another. */
function statusOfOpen(fd: number, { files, relative }: StackEntry, path: Buffer): FileStatus {
  const opened = files.statusOfOpen(fd, relative);
  if (fileKind(opened) !== 'file') throw changedEntry(path);
  return opened;
}

function xattrsOf({ files, relative }: StackEntry): Xattr[] {
  return carriedXattrs(readXattrs(files, relative).own);
}

/**
 * The root's time moves with every change of its content and is no change alone: an untouched container has no diff.
 */
function isWritten({ kind, path }: Difference): boolean {
  return kind === 'time' ? path.length > 0 : kind !== 'same';
}

function refuseMeaning(difference: Difference): void {
  const { path, kind } = difference;
  if (isAufsMarker(baseName(path))) throw unrepresentable(path, 'a name that begins with `.wh.`');
  if (kind !== 'delete' && isWhiteoutDevice(difference.entry.status))
    throw unrepresentable(path, 'a character device 0:0');
}

function unrepresentable(path: Buffer, what: string): StoreError {
  return new StoreError('ERR_NOT_SUPPORTED', `${what} would delete something when the layer is unpacked`, {
    subject: `/${pathText(path)}`,
    hint: 'remove or rename it, then try again',
  });
}
