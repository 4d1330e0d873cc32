/**
 * Tar headers byte for byte as Docker's, which are those of Go's archive/tar. Other encoders name the extension header
 * differently, put other records into it, and cut long names at another place.
 */
import { StoreError } from '@layerstore/core';
import { BLOCK_SIZE, padding } from '../../tar/block.js';
import { checksum, fields } from '../../tar/header.js';
import { fitsOctal, writeOctal } from '../../tar/numbers.js';
import { encodePaxRecord } from '../../tar/pax.js';

export interface GoHeader {
  readonly typeFlag: '0' | '1' | '2' | '3' | '4' | '5' | '6';
  readonly name: Buffer;
  readonly linkName: Buffer;
  /** All of it goes into the field: Docker leaves the bits of the file type in. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: Buffer;
  readonly groupName: Buffer;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** `security.capability`, the only attribute that Docker keeps. */
  readonly capability?: Buffer | undefined;
}

const SLASH = 0x2f;
const paxHeaders = Buffer.from('PaxHeaders.0/');
const capabilityKey = 'SCHILY.xattr.security.capability';

/**
 * The blocks of a member: ustar where it can say everything, otherwise PAX, whose extended header then repeats every
 * long name, also one that ustar could have split.
 * @throws StoreError ERR_INVALID_ARGUMENT for a name that holds NUL
 */
export function encodeGoHeader(header: GoHeader): Buffer {
  for (const name of [header.name, header.linkName]) refuseNul(name);
  const records = recordsOf(header);
  const split = splitName(header.name);
  const needed = [...records.keys()].filter((key) => key !== 'path' || split === undefined);
  if (needed.length === 0) return mainBlock(header, split);
  const body = Buffer.concat(
    [...records].sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, value]) => encodePaxRecord(key, value)),
  );
  return Buffer.concat([extensionBlock(header.name, body.length), body, padding(body.length), mainBlock(header)]);
}

function recordsOf(header: GoHeader): Map<string, Buffer | string> {
  const records = new Map<string, Buffer | string>();
  for (const [key, field, text] of [
    ['path', 'name', header.name],
    ['linkpath', 'linkName', header.linkName],
    ['uname', 'userName', header.userName],
    ['gname', 'groupName', header.groupName],
  ] as const) {
    if (text.length > fields[field][1] || !isAscii(text)) records.set(key, text);
  }
  for (const [key, field, number] of [
    ['size', 'size', header.size],
    ['uid', 'uid', header.uid],
    ['gid', 'gid', header.gid],
    ['mtime', 'modified', header.modified],
  ] as const) {
    if (!fitsOctal(number, fields[field][1])) records.set(key, String(number));
  }
  if (header.capability !== undefined) records.set(capabilityKey, header.capability);
  return records;
}

interface SplitName {
  readonly prefix: Buffer;
  readonly name: Buffer;
}

/** A long name in two fields, cut at the last slash that lets the first part fit. */
function splitName(name: Buffer): SplitName | undefined {
  const [nameLength, prefixLength] = [fields.name[1], fields.prefix[1]];
  if (name.length <= nameLength || !isAscii(name)) return undefined;
  const end =
    name.length > prefixLength + 1 ? prefixLength + 1 : name[name.length - 1] === SLASH ? name.length - 1 : name.length;
  const at = name.subarray(0, end).lastIndexOf(SLASH);
  const rest = name.length - at - 1;
  return at <= 0 || rest === 0 || rest > nameLength || at > prefixLength
    ? undefined
    : { prefix: name.subarray(0, at), name: name.subarray(at + 1) };
}

function mainBlock(header: GoHeader, split?: SplitName): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  putText(block, 'name', asciiOnly(split?.name ?? header.name));
  putText(block, 'linkName', asciiOnly(header.linkName));
  putText(block, 'userName', asciiOnly(header.userName));
  putText(block, 'groupName', asciiOnly(header.groupName));
  if (split !== undefined) putText(block, 'prefix', split.prefix);
  putOctal(block, 'mode', header.mode);
  putOctal(block, 'uid', header.uid);
  putOctal(block, 'gid', header.gid);
  putOctal(block, 'size', header.size);
  putOctal(block, 'modified', header.modified);
  putOctal(block, 'deviceMajor', header.deviceMajor);
  putOctal(block, 'deviceMinor', header.deviceMinor);
  return finish(block, header.typeFlag);
}

/** `DIRECTORY/PaxHeaders.0/NAME`; a directory counts as one that holds the name. Its device fields stay empty. */
function extensionBlock(name: Buffer, size: number): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  const slash = name.lastIndexOf(SLASH) + 1;
  const path = Buffer.concat([name.subarray(0, slash), paxHeaders, name.subarray(slash)]);
  const text = asciiOnly(path).subarray(0, fields.name[1]).toString('latin1').replace(/\/+$/, '');
  putText(block, 'name', Buffer.from(text, 'latin1'));
  for (const field of ['mode', 'uid', 'gid', 'modified'] as const) putOctal(block, field, 0);
  putOctal(block, 'size', size);
  return finish(block, 'x');
}

function putText(block: Buffer, field: keyof typeof fields, text: Buffer): void {
  const [offset, length] = fields[field];
  text.copy(block, offset, 0, Math.min(text.length, length));
  if (text.length <= length) return;
  // A name that is cut behind a slash would look like a directory.
  for (let index = offset + length - 1; index >= offset && block[index] === SLASH; index -= 1) block[index] = 0;
}

/** Numbers that do not fit are told by a record; the field is 0 then. */
function putOctal(block: Buffer, field: keyof typeof fields, value: number): void {
  const [offset, length] = fields[field];
  writeOctal(block, offset, length, fitsOctal(value, length) ? value : 0);
}

function finish(block: Buffer, typeFlag: string): Buffer {
  block.write(typeFlag, fields.typeFlag[0], 'latin1');
  block.write('ustar\x0000', fields.magic[0], 'latin1');
  const [offset, length] = fields.checksum;
  writeOctal(block, offset, length - 1, checksum(block));
  block[offset + length - 1] = 0x20;
  return block;
}

function refuseNul(name: Buffer): void {
  if (!name.includes(0)) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'the name of a member holds a NUL', { subject: name.toString() });
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte <= 127);
}

function asciiOnly(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : Buffer.from(bytes.filter((byte) => byte <= 127));
}
