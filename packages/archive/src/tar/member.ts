import { exceeded, malformed, unsupported } from './archive-errors.js';
import type { EntryType, TarEntry, Xattr } from './entry.js';
import { EMPTY, type Header } from './header.js';
import type { TarLimits } from './limits.js';
import { parseDecimal, parseTime, secondsToNanoseconds } from './numbers.js';
import { noRecords, type PaxRecords } from './pax.js';
import type { SparseFile } from './sparse.js';
import { addXattr, toXattrs } from './xattr-records.js';

/** What the extension headers in front of a member say about it. */
export interface Extensions {
  readonly records: PaxRecords;
  readonly globals: ReadonlyMap<string, Buffer>;
  readonly longName: Buffer | undefined;
  readonly longLink: Buffer | undefined;
}

/** Linux ids are 32 bits wide; the last one means "leave unchanged" in chown(2). */
const LARGEST_ID = 0xff_ff_ff_fe;
const LARGEST_DEVICE_NUMBER = 0xff_ff_ff_ff;

const SLASH = 0x2f;
const noXattrs: readonly Xattr[] = [];

/** The PAX record of that name: the member's own before the global one; undefined when absent or deleted. */
export function paxValue(extensions: Extensions, key: string): Buffer | undefined {
  const value = extensions.records.values.get(key) ?? extensions.globals.get(key);
  return value === undefined || value.length === 0 ? undefined : value;
}

/**
 * The type of a member by its flag; undefined for those that stand for no file.
 * @throws StoreError ERR_UNSUPPORTED_FORMAT
 */
export function entryType(flag: number, name: Buffer): EntryType | undefined {
  switch (String.fromCharCode(flag)) {
    case '\0':
      // V7 has no type for directories: Go, GNU tar and bsdtar agree on the slash.
      return name[name.length - 1] === SLASH ? 'directory' : 'file';
    case '0':
    case '7': // contiguous: an ordinary file to everyone
    case 'S':
      return 'file';
    case '1':
      return 'hardlink';
    case '2':
      return 'symlink';
    case '3':
      return 'character';
    case '4':
      return 'block';
    case '5':
    case 'D': // GNU incremental: a directory, with the list of its members as payload
      return 'directory';
    case '6':
      return 'fifo';
    case 'V': // GNU volume label
      return undefined;
    default:
      throw unsupported(`members of type ${JSON.stringify(String.fromCharCode(flag))} are not supported`);
  }
}

/**
 * The name of a member. A GNU long name wins over PAX, and PAX over the header, as in Go's archive/tar: two readers that
 * disagree would see two different files.
 */
export function memberName(header: Header, extensions: Extensions): Buffer {
  return extensions.longName ?? paxValue(extensions, 'path') ?? header.name;
}

/**
 * Bytes of payload that follow the header. Types other than files have none whatever their header says, as in Go's
 * archive/tar; PAX hard links with content (`pax -o linkdata`) are not read.
 * @throws StoreError ERR_MALFORMED_ARCHIVE
 */
export function payloadSize(header: Header, type: EntryType | undefined, extensions: Extensions): number {
  const dumpDirectory = header.typeFlag === 0x44;
  if (type !== 'file' && type !== undefined && !dumpDirectory) return 0;
  const record = paxValue(extensions, 'size');
  const size = record === undefined ? header.size : parseDecimal(record);
  if (size === undefined || size < 0) throw malformed('the size of a member is not a valid number');
  return size;
}

/**
 * Joins the header and its extensions into an entry.
 * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED
 */
export function toEntry(
  header: Header,
  type: EntryType,
  name: Buffer,
  content: { readonly size: number; readonly sparse: SparseFile | undefined },
  extensions: Extensions,
  limits: TarLimits,
): TarEntry {
  const plain = extensions.records === noRecords && extensions.globals.size === 0;
  const value = plain ? absent : (key: string): Buffer | undefined => paxValue(extensions, key);
  const linkName = linkTarget(header, type, extensions);
  checkName(name, limits);
  if (linkName.length > 0) checkLinkName(linkName, type, limits);
  const accessedNs = time(value('atime'), header.accessed);
  const changedNs = time(value('ctime'), header.changed);
  const device = type === 'character' || type === 'block';
  return {
    type,
    name,
    linkName,
    mode: header.mode & 0o7777,
    uid: numberIn(value('uid'), header.uid, LARGEST_ID, 'user id'),
    gid: numberIn(value('gid'), header.gid, LARGEST_ID, 'group id'),
    userName: value('uname') ?? header.userName,
    groupName: value('gname') ?? header.groupName,
    size: content.sparse?.size ?? content.size,
    modifiedNs: time(value('mtime'), header.modified) ?? 0n,
    ...(accessedNs === undefined ? {} : { accessedNs }),
    ...(changedNs === undefined ? {} : { changedNs }),
    deviceMajor: device ? numberIn(value('SCHILY.devmajor'), header.deviceMajor, LARGEST_DEVICE_NUMBER, 'device') : 0,
    deviceMinor: device ? numberIn(value('SCHILY.devminor'), header.deviceMinor, LARGEST_DEVICE_NUMBER, 'device') : 0,
    xattrs: plain ? noXattrs : collectXattrs(extensions, limits),
    ...(content.sparse === undefined ? {} : { sparse: content.sparse.segments }),
  };
}

const absent = (): undefined => undefined;

function linkTarget(header: Header, type: EntryType, extensions: Extensions): Buffer {
  if (type !== 'symlink' && type !== 'hardlink') return EMPTY;
  const target = extensions.longLink ?? paxValue(extensions, 'linkpath') ?? header.linkName;
  if (target.length === 0) throw malformed('a link has no target');
  return target;
}

function checkName(name: Buffer, limits: TarLimits): void {
  if (name.length === 0) throw malformed('a member has no name');
  if (name.length > limits.pathBytes) throw exceeded('bytes of a name', limits.pathBytes);
  if (name.length > limits.componentBytes) checkComponents(name, limits);
}

function checkLinkName(target: Buffer, type: EntryType, limits: TarLimits): void {
  if (target.length > limits.pathBytes) throw exceeded('bytes of a link target', limits.pathBytes);
  if (type === 'hardlink' && target.length > limits.componentBytes) checkComponents(target, limits);
}

function checkComponents(path: Buffer, limits: TarLimits): void {
  let start = 0;
  while (start < path.length) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    if (end - start > limits.componentBytes) throw exceeded('bytes of one component of a name', limits.componentBytes);
    start = end + 1;
  }
}

function numberIn(record: Buffer | undefined, fallback: number, largest: number, what: string): number {
  const number = record === undefined ? fallback : parseDecimal(record);
  if (number === undefined || number < 0 || number > largest) {
    throw malformed(`a ${what} is not a number from 0 to ${largest}`);
  }
  return number;
}

function time(record: Buffer | undefined, fallback: number | undefined): bigint | undefined {
  if (record === undefined) return fallback === undefined ? undefined : secondsToNanoseconds(fallback);
  const nanoseconds = parseTime(record);
  if (nanoseconds === undefined) throw malformed('a time in the PAX records is not a number');
  return nanoseconds;
}

function collectXattrs(extensions: Extensions, limits: TarLimits): readonly Xattr[] {
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of extensions.globals) addXattr(xattrs, key, value, limits.xattrBytes);
  for (const [key, value] of extensions.records.values) addXattr(xattrs, key, value, limits.xattrBytes);
  return xattrs.size === 0 ? noXattrs : toXattrs(xattrs);
}
