import { BLOCK_SIZE } from './block.js';
import { malformed } from './archive-errors.js';
import { parseNumericField } from './numbers.js';

/**
 * Position and length of the header fields. All formats share the part up to `linkName` (V7) and, but for V7 itself, up
 * to `deviceMinor`; what follows depends on the magic: POSIX ustar, star (ustar with the trailer `tar`), GNU.
 */
export const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  checksum: [148, 8],
  typeFlag: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  userName: [265, 32],
  groupName: [297, 32],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
  starPrefix: [345, 131],
  starAccessed: [476, 12],
  starChanged: [488, 12],
  starTrailer: [508, 4],
  gnuAccessed: [345, 12],
  gnuChanged: [357, 12],
} as const satisfies Record<string, readonly [offset: number, length: number]>;

type Field = keyof typeof fields;

/** One header block as its fields say it, before any extension is applied. Buffers are copies. */
export interface Header {
  readonly format: HeaderFormat;
  readonly typeFlag: number;
  readonly name: Buffer;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** May be negative: only payloads need a valid one. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
  readonly accessed: number | undefined;
  readonly changed: number | undefined;
  readonly userName: Buffer;
  readonly groupName: Buffer;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export type HeaderFormat = 'v7' | 'ustar' | 'star' | 'gnu';

export const EMPTY: Buffer = Buffer.alloc(0);
const SLASH = Buffer.from('/');

/**
 * Decodes a header block.
 * @throws StoreError ERR_MALFORMED_ARCHIVE when the checksum is wrong or a field is not a number
 */
export function decodeHeader(block: Buffer): Header {
  verifyChecksum(block);
  const format = detectFormat(block);
  const v7 = format === 'v7';
  const device = !v7 && isDevice(block[fields.typeFlag[0]]);
  const name = stringField(block, 'name');
  const { prefix, accessed, changed } = decodeTail(block, format);
  return {
    format,
    typeFlag: block[fields.typeFlag[0]] ?? 0,
    name: prefix.length === 0 ? name : Buffer.concat([prefix, SLASH, name]),
    linkName: stringField(block, 'linkName'),
    mode: numberField(block, 'mode'),
    uid: numberField(block, 'uid'),
    gid: numberField(block, 'gid'),
    size: numberField(block, 'size'),
    modified: numberField(block, 'modified'),
    accessed,
    changed,
    userName: v7 ? EMPTY : stringField(block, 'userName'),
    groupName: v7 ? EMPTY : stringField(block, 'groupName'),
    deviceMajor: device ? numberField(block, 'deviceMajor') : 0,
    deviceMinor: device ? numberField(block, 'deviceMinor') : 0,
  };
}

interface Tail {
  readonly prefix: Buffer;
  readonly accessed: number | undefined;
  readonly changed: number | undefined;
}

const plainTail: Tail = { prefix: EMPTY, accessed: undefined, changed: undefined };

function decodeTail(block: Buffer, format: HeaderFormat): Tail {
  switch (format) {
    case 'v7':
      return plainTail;
    case 'ustar':
      return block[fields.prefix[0]] === 0 ? plainTail : { ...plainTail, prefix: stringField(block, 'prefix') };
    case 'star':
      return {
        prefix: stringField(block, 'starPrefix'),
        accessed: numberField(block, 'starAccessed'),
        changed: numberField(block, 'starChanged'),
      };
    case 'gnu':
      return block[fields.gnuAccessed[0]] === 0 && block[fields.gnuChanged[0]] === 0 ? plainTail : gnuTail(block);
  }
}

/**
 * Archives of Docker up to 1.12 (Go before 1.8, golang/go#12594) carry a ustar prefix behind a GNU magic when a number
 * did not fit octal: what is no time there is a prefix.
 */
function gnuTail(block: Buffer): Tail {
  const accessed = optionalTime(block, 'gnuAccessed');
  const changed = optionalTime(block, 'gnuChanged');
  if (accessed === 'not a number' || changed === 'not a number') {
    return { ...plainTail, prefix: stringField(block, 'prefix') };
  }
  return { prefix: EMPTY, accessed, changed };
}

function optionalTime(block: Buffer, field: Field): number | undefined | 'not a number' {
  const [offset, length] = fields[field];
  if (block[offset] === 0) return undefined;
  return parseNumericField(block, offset, offset + length) ?? 'not a number';
}

/** The magics as numbers, four bytes each: `usta`, `r\0`, `r  \0`, and `tar\0` at the end of a star block. */
const USTA = 0x75_73_74_61;
const R_NUL = 0x72_00;
const R_SPACE = 0x72_20;
const SPACE_NUL = 0x20_00;
const STAR = 0x74_61_72_00;

function detectFormat(block: Buffer): HeaderFormat {
  const magic = fields.magic[0];
  if (block.readUInt32BE(magic) !== USTA) return 'v7';
  const next = block.readUInt16BE(magic + 4);
  if (next === R_NUL) return block.readUInt32BE(fields.starTrailer[0]) === STAR ? 'star' : 'ustar';
  return next === R_SPACE && block.readUInt16BE(magic + 6) === SPACE_NUL ? 'gnu' : 'v7';
}

function isDevice(typeFlag: number | undefined): boolean {
  return typeFlag === 0x33 || typeFlag === 0x34;
}

function numberField(block: Buffer, field: Field): number {
  const [offset, length] = fields[field];
  const value = parseNumericField(block, offset, offset + length);
  if (value === undefined) throw malformed(`the header field "${field}" is not a number`);
  return value;
}

/** The bytes of a field up to its first NUL. */
function stringField(block: Buffer, field: Field): Buffer {
  const [offset, length] = fields[field];
  return copyString(block, offset, offset + length);
}

/** A copy of the bytes up to the first NUL. */
export function copyString(bytes: Buffer, start: number, limit: number): Buffer {
  if (start >= limit || bytes[start] === 0) return EMPTY;
  const nul = bytes.indexOf(0, start);
  const length = (nul === -1 || nul > limit ? limit : nul) - start;
  const copy = Buffer.allocUnsafe(length);
  bytes.copy(copy, 0, start, start + length);
  return copy;
}

/** The sum of all bytes, the checksum field counted as spaces; early tars summed signed bytes, so both are accepted. */
function verifyChecksum(block: Buffer): void {
  const stated = numberField(block, 'checksum');
  const sum = checksum(block);
  if (stated === sum) return;
  let negatives = 0;
  for (let index = 0; index < BLOCK_SIZE; index += 1) {
    const inChecksum = index >= fields.checksum[0] && index < fields.checksum[0] + fields.checksum[1];
    if (!inChecksum && (block[index] ?? 0) > 127) negatives += 1;
  }
  if (stated !== sum - 256 * negatives) throw malformed('the header checksum does not match');
}

/** The checksum that belongs into `block`. */
export function checksum(block: Buffer): number {
  const [start, length] = fields.checksum;
  let sum = length * 0x20;
  for (let index = 0; index < start; index += 1) sum += block[index] ?? 0;
  for (let index = start + length; index < BLOCK_SIZE; index += 1) sum += block[index] ?? 0;
  return sum;
}
