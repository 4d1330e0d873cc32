import { isUtf8 } from 'node:buffer';
import { StoreError } from '@layerstore/core';
import { BLOCK_SIZE, padding } from './block.js';
import type { EntryType, TarEntry, Xattr } from './entry.js';
import { checksum, fields } from './header.js';
import { defaultTarLimits } from './limits.js';
import { fitsOctal, formatTime, secondsToNanoseconds, wholeSeconds, writeOctal } from './numbers.js';
import { encodePaxRecord } from './pax.js';
import { xattrKey } from './xattr-records.js';

export { END_OF_ARCHIVE, padding } from './block.js';

export interface TarWriteOptions {
  /** Whether times keep their fraction, which costs a PAX header a member, or are rounded down. Default `nanoseconds`. */
  readonly timestamps?: 'nanoseconds' | 'seconds';
}

const typeFlags: Readonly<Record<EntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** The mode that tools show for an extension header, which is never unpacked. */
const EXTENSION_MODE = 0o644;

/**
 * Encodes the header blocks of a member: one ustar block, and a PAX extended header before it for what ustar cannot
 * hold (long or non-ASCII names, ids over 2,097,151, sizes from 8 GiB, fractions of seconds, extended attributes).
 * The same entry gives the same bytes. The payload, `entry.size` bytes for a file, and {@link padding} follow.
 *
 * Sparse files are written in full: `entry.sparse` is not looked at, holes are to be delivered as zeros.
 *
 * @throws StoreError ERR_INVALID_ARGUMENT for a name that is empty or holds a NUL; ERR_LIMIT_EXCEEDED when the
 * attributes exceed 1 MiB, which no reader takes
 */
export function encodeHeader(entry: TarEntry, options: TarWriteOptions = {}): Buffer {
  const records = new RecordList();
  const header = encodeUstar(entry, options.timestamps ?? 'nanoseconds', records);
  if (records.empty) return header;
  const body = records.toBuffer();
  if (body.length > defaultTarLimits.extensionBytes) {
    throw new StoreError(
      'ERR_LIMIT_EXCEEDED',
      `the attributes take ${body.length} bytes, more than tar readers accept`,
      {
        subject: entry.name.toString(),
      },
    );
  }
  return Buffer.concat([extensionHeader(entry.name, body.length), body, padding(body.length), header]);
}

class RecordList {
  readonly #records: Buffer[] = [];
  #binary = false;

  get empty(): boolean {
    return this.#records.length === 0;
  }

  add(key: Buffer | string, value: Buffer | string): void {
    this.#records.push(encodePaxRecord(key, value));
  }

  /** Text is UTF-8 unless the header says otherwise (POSIX.1-2017, pax, `hdrcharset`). */
  addText(key: string, value: Buffer): void {
    this.#binary ||= !isUtf8(value);
    this.add(key, value);
  }

  toBuffer(): Buffer {
    const charset = this.#binary ? [encodePaxRecord('hdrcharset', 'BINARY')] : [];
    return Buffer.concat([...charset, ...this.#records]);
  }
}

function encodeUstar(entry: TarEntry, timestamps: 'nanoseconds' | 'seconds', records: RecordList): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  const link = entry.type === 'symlink' || entry.type === 'hardlink';
  const device = entry.type === 'character' || entry.type === 'block';
  putName(block, entry.name, records);
  if (link) {
    checkText(entry.linkName, 'the target of a link');
    putText(block, 'linkName', 'linkpath', entry.linkName, records);
  }
  putNumber(block, 'size', 'size', entry.type === 'file' ? entry.size : 0, records);
  putNumber(block, 'uid', 'uid', entry.uid, records);
  putNumber(block, 'gid', 'gid', entry.gid, records);
  putText(block, 'userName', 'uname', entry.userName, records);
  putText(block, 'groupName', 'gname', entry.groupName, records);
  putNumber(block, 'deviceMajor', 'SCHILY.devmajor', device ? entry.deviceMajor : 0, records);
  putNumber(block, 'deviceMinor', 'SCHILY.devminor', device ? entry.deviceMinor : 0, records);
  putModified(block, rounded(entry.modifiedNs, timestamps), records);
  if (entry.accessedNs !== undefined) records.add('atime', formatTime(rounded(entry.accessedNs, timestamps)));
  if (entry.changedNs !== undefined) records.add('ctime', formatTime(rounded(entry.changedNs, timestamps)));
  for (const xattr of entry.xattrs) putXattr(xattr, records);
  return finish(block, entry.mode & 0o7777, typeFlags[entry.type]);
}

function rounded(nanoseconds: bigint, timestamps: 'nanoseconds' | 'seconds'): bigint {
  return timestamps === 'seconds' ? wholeSeconds(nanoseconds) * 1_000_000_000n : nanoseconds;
}

function putXattr(xattr: Xattr, records: RecordList): void {
  checkText(xattr.name, 'the name of an extended attribute');
  records.add(xattrKey(xattr.name), xattr.value);
}

function checkText(text: Buffer, what: string): void {
  if (text.length > 0 && !text.includes(0)) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', `${what} is empty or holds a NUL`, { subject: text.toString() });
}

/** A name of up to 255 bytes may be split at a slash into prefix and name. */
function putName(block: Buffer, name: Buffer, records: RecordList): void {
  checkText(name, 'the name of a member');
  const [nameOffset, nameLength] = fields.name;
  const [prefixOffset, prefixLength] = fields.prefix;
  if (isAscii(name) && name.length <= nameLength) {
    name.copy(block, nameOffset);
    return;
  }
  const split = isAscii(name) ? splitPoint(name, nameLength, prefixLength) : undefined;
  if (split !== undefined) {
    name.copy(block, prefixOffset, 0, split);
    name.copy(block, nameOffset, split + 1);
    return;
  }
  records.addText('path', name);
  asciiOnly(name).copy(block, nameOffset, 0, nameLength);
}

/** The last slash that leaves both parts short enough and neither empty. */
function splitPoint(name: Buffer, nameLength: number, prefixLength: number): number | undefined {
  const slash = name.lastIndexOf(0x2f, Math.min(prefixLength, name.length - 2));
  return slash > 0 && name.length - slash - 1 <= nameLength ? slash : undefined;
}

function putText(
  block: Buffer,
  field: 'linkName' | 'userName' | 'groupName',
  key: string,
  text: Buffer,
  records: RecordList,
): void {
  const [offset, length] = fields[field];
  // The last byte of user and group names is a NUL by the standard; of link names it need not be.
  if (text.length > 0) checkText(text, `the ${key} of a member`);
  if (text.length <= (field === 'linkName' ? length : length - 1) && isAscii(text)) text.copy(block, offset);
  else records.addText(key, text);
}

function putNumber(
  block: Buffer,
  field: 'size' | 'uid' | 'gid' | 'deviceMajor' | 'deviceMinor',
  key: string,
  value: number,
  records: RecordList,
): void {
  const [offset, length] = fields[field];
  const fits = fitsOctal(value, length);
  writeOctal(block, offset, length, fits ? value : 0);
  if (!fits) records.add(key, String(value));
}

function putModified(block: Buffer, nanoseconds: bigint, records: RecordList): void {
  const [offset, length] = fields.modified;
  const seconds = Number(wholeSeconds(nanoseconds));
  const fits = fitsOctal(seconds, length);
  writeOctal(block, offset, length, fits ? seconds : 0);
  if (!fits || secondsToNanoseconds(seconds) !== nanoseconds) records.add('mtime', formatTime(nanoseconds));
}

/** The header of the block of PAX records. Its name, `PaxHeaders/NAME`, is seen only by readers that know no PAX. */
function extensionHeader(name: Buffer, size: number): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  const end = name[name.length - 1] === 0x2f ? name.length - 1 : name.length;
  const base = name.subarray(name.lastIndexOf(0x2f, end - 1) + 1, end);
  Buffer.concat([Buffer.from('PaxHeaders/'), asciiOnly(base)]).copy(block, 0, 0, fields.name[1]);
  for (const field of ['uid', 'gid', 'modified', 'deviceMajor', 'deviceMinor'] as const) {
    putOctal(block, field, 0);
  }
  putOctal(block, 'size', size);
  return finish(block, EXTENSION_MODE, 'x');
}

function finish(block: Buffer, mode: number, typeFlag: string): Buffer {
  putOctal(block, 'mode', mode);
  block.write(typeFlag, fields.typeFlag[0], 'latin1');
  block.write('ustar\x0000', fields.magic[0], 'latin1');
  // Six digits, a NUL and a space: the form that every tar writes.
  const [offset, length] = fields.checksum;
  writeOctal(block, offset, length - 1, checksum(block));
  block[offset + length - 1] = 0x20;
  return block;
}

function putOctal(block: Buffer, field: keyof typeof fields, value: number): void {
  const [offset, length] = fields[field];
  writeOctal(block, offset, length, value);
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) {
    if (byte > 127) return false;
  }
  return true;
}

function asciiOnly(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : Buffer.from(bytes.filter((byte) => byte <= 127));
}
