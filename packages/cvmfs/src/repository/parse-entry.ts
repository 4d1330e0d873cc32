import type { ForeignRow } from '@layerstore/sqlite';
import { hashOfBytes } from '../format/content-hash.js';
import { parseDevice } from '../format/device-number.js';
import {
  BIND_MOUNT_POINT,
  CHUNKED_FILE,
  compressionOf,
  DIRECT_IO,
  DIRECTORY,
  EXTERNAL_FILE,
  hashAlgorithmOf,
  HIDDEN,
  NESTED_MOUNT_POINT,
  NESTED_ROOT,
  SPECIAL_FILE,
  SYMBOLIC_LINK,
} from '../format/entry-flags.js';
import { malformed } from '../format/malformed.js';
import type { ObjectReference } from '../format/object-reference.js';
import { hashPath } from '../format/path-hash.js';
import { expandVariables } from '../format/variable-link.js';
import type { Entry, EntryType } from './entry.js';
import { isEntryName } from './path.js';

/** What a row is read with. */
export interface RowContext {
  /** Absolute path of the directory, or of nothing for the root of a catalog. */
  readonly directory: Buffer;
  /** Path of a catalog's root, whose row has a name that counts for nothing. */
  readonly rootPath?: Buffer;
  readonly catalog: string;
  /** Whether the catalog lies at another path than the one it was made for, so that its hashes of paths are not ours. */
  readonly isMoved: boolean;
  readonly linkVariables: Readonly<Record<string, string>> | undefined;
  readonly subject: string;
}

const TYPE_BITS = 0o170000;
const types: ReadonlyMap<number, EntryType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'character-device'],
  [0o040000, 'directory'],
  [0o060000, 'block-device'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);

/** What publishers write for directories that nobody gave them. No kernel takes it as an owner; mounts show the overflow id. */
const NO_OWNER = 2 ** 32 - 1;
const OVERFLOW_ID = 65_534;
const owner = (id: number): number => (id === NO_OWNER ? OVERFLOW_ID : id);

const LINK_MAX = 4095;
const nothing = Buffer.alloc(0);
const SLASH = Buffer.from('/');

/** Reads and checks a row. @throws StoreError ERR_MALFORMED_REPOSITORY */
export function parseEntry(row: ForeignRow, context: RowContext): Entry {
  const { subject } = context;
  const whole = (column: string, highest: number, fallback?: number): number => {
    const value = row[column];
    if (typeof value === 'bigint' && value >= 0n && value <= BigInt(highest)) return Number(value);
    if (value === null && fallback !== undefined) return fallback;
    throw malformed(subject, `an entry has no usable ${column}`);
  };
  const flags = whole('flags', 2 ** 31 - 1);
  const mode = whole('mode', 0o177777);
  const type = types.get(mode & TYPE_BITS);
  if (type === undefined || type !== typeOfFlags(flags, type)) throw malformed(subject, 'an entry is of no known type');
  const path = pathOf(row, context);
  const size = type === 'character-device' || type === 'block-device' ? 0 : whole('size', Number.MAX_SAFE_INTEGER);
  const link = type === 'symlink' ? linkOf(row, context) : nothing;
  const links = integer(row['hardlinks'], subject, 'hardlinks');
  const group = Number(BigInt.asUintN(32, links >> 32n));
  return {
    name: path.subarray(path.lastIndexOf(SLASH) + 1),
    path,
    type,
    mode,
    uid: owner(whole('uid', NO_OWNER, 0)),
    gid: owner(whole('gid', NO_OWNER, 0)),
    size: type === 'file' || type === 'directory' ? size : link.length,
    mtimeNs: integer(row['mtime'], subject, 'mtime') * 1_000_000_000n + BigInt(whole('mtimens', 999_999_999, 0)),
    nlink: Math.max(1, Number(BigInt.asUintN(32, links))),
    link,
    device: type.endsWith('device') ? parseDevice(integer(row['size'], subject, 'size')) : undefined,
    inode: {
      number: inodeNumber(row, context, path, group),
      catalog: context.catalog,
      row: whole('rowid', Number.MAX_SAFE_INTEGER),
      hardLinkGroup: group,
    },
    isMountPoint: (flags & (NESTED_MOUNT_POINT | NESTED_ROOT | BIND_MOUNT_POINT)) !== 0,
    isHidden: (flags & HIDDEN) !== 0,
    isDirectIo: (flags & DIRECT_IO) !== 0,
    object: type === 'file' ? objectOf(row, flags, size, subject) : undefined,
    attributes: Buffer.isBuffer(row['xattr']) ? row['xattr'] : nothing,
  };
}

/** The type by the flags, which is told apart in this order: links and special files are marked as files too. */
function typeOfFlags(flags: number, byMode: EntryType): EntryType | undefined {
  if ((flags & DIRECTORY) !== 0) return 'directory';
  if ((flags & SYMBOLIC_LINK) !== 0) return 'symlink';
  if ((flags & SPECIAL_FILE) === 0) return 'file';
  return byMode === 'file' || byMode === 'directory' || byMode === 'symlink' ? undefined : byMode;
}

function pathOf(row: ForeignRow, { directory, rootPath, subject }: RowContext): Buffer {
  if (rootPath !== undefined) return rootPath;
  const name = row['name'];
  if (!Buffer.isBuffer(name) || !isEntryName(name)) {
    const shown = Buffer.isBuffer(name) ? name.toString('utf8').slice(0, 100) : '';
    throw malformed(subject, `an entry has a name that is none (${shown})`);
  }
  return Buffer.concat([directory, SLASH, name]);
}

function linkOf(row: ForeignRow, { linkVariables, subject }: RowContext): Buffer {
  const text = row['symlink'];
  if (!Buffer.isBuffer(text) || text.length === 0 || text.includes(0)) throw malformed(subject, 'a link leads nowhere');
  const link = linkVariables === undefined ? text : expandVariables(text, linkVariables);
  if (link.length > LINK_MAX) throw malformed(subject, `a link of ${link.length} bytes`);
  return link;
}

function inodeNumber(row: ForeignRow, context: RowContext, path: Buffer, group: number): bigint {
  let hash: bigint;
  if (group !== 0) hash = hashPath(Buffer.concat([context.directory, Buffer.from(`/\0${group}`)])).first;
  else if (context.isMoved) hash = hashPath(path).first;
  else hash = integer(row['md5path_1'], context.subject, 'md5path_1');
  const number = BigInt.asUintN(64, hash);
  // 0 is no inode, and 1 the root of a mount.
  return number > 1n ? number : number + 2n;
}

function objectOf(row: ForeignRow, flags: number, size: number, subject: string): ObjectReference | undefined {
  if ((flags & (CHUNKED_FILE | EXTERNAL_FILE)) !== 0) return undefined;
  const algorithm = hashAlgorithmOf(flags);
  const compression = compressionOf(flags);
  const bytes = row['hash'];
  const hash = algorithm !== undefined && Buffer.isBuffer(bytes) ? hashOfBytes(algorithm, bytes) : undefined;
  if (hash === undefined || compression === undefined) throw malformed(subject, 'a file has no object');
  return { kind: 'file', hash, compression, size };
}

function integer(value: ForeignRow[string] | undefined, subject: string, column: string): bigint {
  if (typeof value === 'bigint') return value;
  throw malformed(subject, `an entry has no usable ${column}`);
}
