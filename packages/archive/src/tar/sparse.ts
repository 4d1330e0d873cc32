import { BLOCK_SIZE } from './block.js';
import type { SparseSegment } from './entry.js';
import { exceeded, malformed, unsupported } from './archive-errors.js';
import { parseDecimal, parseNumericField } from './numbers.js';
import type { PaxRecords } from './pax.js';

/**
 * The sparse forms of GNU tar (GNU tar manual, "Storing Sparse Files"): the payload holds the data segments one after
 * the other, and a map says where in the file they belong.
 *
 * - old GNU: type `S`; the map is in the header and in blocks behind it;
 * - PAX 0.0 and 0.1: the map is in the PAX records;
 * - PAX 1.0: the map is decimal text in front of the data.
 */
export interface SparseFile {
  /** Bytes of the expanded file. */
  readonly size: number;
  readonly segments: readonly SparseSegment[];
  /** Bytes of the payload that the map took, padding included. */
  readonly mapBytes: number;
}

/** Gives the next block of the archive; valid until the next call. */
export type ReadBlock = () => Buffer;

const OLD_MAP = 386;
const OLD_MAP_ENTRIES = 4;
const OLD_EXTENDED = 482;
const OLD_REAL_SIZE = 483;
const EXTENSION_ENTRIES = 21;
const EXTENSION_EXTENDED = 504;
const NUMBER_LENGTH = 12;

/**
 * Reads the map of a type `S` member: four segments in the header, 21 in each extension block that follows it.
 * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED, ERR_TRUNCATED
 */
export function readOldGnuSparse(header: Buffer, payload: number, readBlock: ReadBlock, limit: number): SparseFile {
  const size = parseNumericField(header, OLD_REAL_SIZE, OLD_REAL_SIZE + NUMBER_LENGTH);
  if (size === undefined || size < 0) throw malformed('the real size of a sparse file is not a number');
  const numbers: number[] = [];
  addOldEntries(header, OLD_MAP, OLD_MAP_ENTRIES, numbers);
  let extended = header[OLD_EXTENDED] !== 0;
  while (extended) {
    const block = readBlock();
    addOldEntries(block, 0, EXTENSION_ENTRIES, numbers);
    if (numbers.length / 2 > limit) throw exceeded('segments of a sparse file', limit);
    extended = block[EXTENSION_EXTENDED] !== 0;
  }
  return { size, segments: checkSegments(numbers, size, payload, limit), mapBytes: 0 };
}

function addOldEntries(block: Buffer, start: number, count: number, numbers: number[]): void {
  for (let entry = 0; entry < count; entry += 1) {
    const offset = start + entry * 2 * NUMBER_LENGTH;
    if (block[offset] === 0) return;
    const from = parseNumericField(block, offset, offset + NUMBER_LENGTH);
    const length = parseNumericField(block, offset + NUMBER_LENGTH, offset + 2 * NUMBER_LENGTH);
    if (from === undefined || length === undefined)
      throw malformed('the map of a sparse file is not a list of numbers');
    numbers.push(from, length);
  }
}

/**
 * Reads the map of a member whose PAX records say that it is sparse; undefined when they do not.
 * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED, ERR_TRUNCATED, ERR_UNSUPPORTED_FORMAT
 */
export function readPaxSparse(
  { values, sparseNumbers }: PaxRecords,
  payload: number,
  readBlock: ReadBlock,
  limit: number,
): SparseFile | undefined {
  const stated = values.get('GNU.sparse.size') ?? values.get('GNU.sparse.realsize');
  const major = values.get('GNU.sparse.major');
  const minor = values.get('GNU.sparse.minor');
  const map = values.get('GNU.sparse.map');
  if (stated === undefined) {
    if (major === undefined && map === undefined && sparseNumbers.length === 0) return undefined;
    throw malformed('a sparse file does not state its size');
  }
  const size = parseDecimal(stated);
  if (size === undefined) throw malformed('the size of a sparse file is not a number');
  const version = major === undefined && minor === undefined ? '0.1' : `${asText(major)}.${asText(minor)}`;
  switch (version) {
    case '0.0':
    case '0.1': {
      const numbers = map === undefined ? sparseNumbers : parseMap(map, limit);
      return { size, segments: checkSegments(numbers, size, payload, limit), mapBytes: 0 };
    }
    case '1.0': {
      const { numbers, mapBytes } = readTextMap(payload, readBlock, limit);
      return { size, segments: checkSegments(numbers, size, payload - mapBytes, limit), mapBytes };
    }
    default:
      // To take such a member for an ordinary file would give a file with the packed bytes in it.
      throw unsupported(`the GNU sparse format ${JSON.stringify(version.slice(0, 40))} is not known`);
  }
}

function asText(value: Buffer | undefined): string {
  return value === undefined ? '' : value.toString('latin1');
}

/** Format 0.1: `offset,length,offset,length`. */
function parseMap(map: Buffer, limit: number): number[] {
  const numbers: number[] = [];
  let start = 0;
  while (start < map.length) {
    const comma = map.indexOf(0x2c, start);
    const end = comma === -1 ? map.length : comma;
    const number = parseDecimal(map, start, end);
    if (number === undefined) throw malformed('the map of a sparse file is not a list of numbers');
    numbers.push(number);
    if (numbers.length / 2 > limit) throw exceeded('segments of a sparse file', limit);
    start = end + 1;
  }
  return numbers;
}

/** Format 1.0: the count, then offset and length of each segment, one number a line, padded to whole blocks. */
function readTextMap(payload: number, readBlock: ReadBlock, limit: number): { numbers: number[]; mapBytes: number } {
  const numbers: number[] = [];
  let wanted = 1;
  let mapBytes = 0;
  let number = 0;
  let digits = 0;
  while (wanted > 0) {
    if (mapBytes + BLOCK_SIZE > payload) throw malformed('the map of a sparse file is longer than its payload');
    const block = readBlock();
    mapBytes += BLOCK_SIZE;
    for (let index = 0; index < BLOCK_SIZE && wanted > 0; index += 1) {
      const byte = block[index] ?? 0;
      if (byte >= 0x30 && byte <= 0x39) {
        number = number * 10 + (byte - 0x30);
        digits += 1;
        if (number > Number.MAX_SAFE_INTEGER) throw malformed('a number in the map of a sparse file is too large');
        continue;
      }
      if (byte !== 0x0a || digits === 0) throw malformed('the map of a sparse file is not a list of numbers');
      if (numbers.length === 0 && number > limit) throw exceeded('segments of a sparse file', limit);
      wanted = numbers.length === 0 ? 2 * number : wanted - 1;
      numbers.push(number);
      number = 0;
      digits = 0;
    }
  }
  return { numbers: numbers.slice(1), mapBytes };
}

/**
 * Segments must ascend, stay inside the file, and together be as long as the payload. Empty ones, with which GNU tar
 * marks a hole at the end, are left out.
 */
function checkSegments(numbers: readonly number[], size: number, payload: number, limit: number): SparseSegment[] {
  if (numbers.length % 2 !== 0) throw malformed('the map of a sparse file is not a list of pairs');
  if (numbers.length / 2 > limit) throw exceeded('segments of a sparse file', limit);
  const segments: SparseSegment[] = [];
  let end = 0;
  let stored = 0;
  for (let index = 0; index < numbers.length; index += 2) {
    const offset = numbers[index] ?? 0;
    const length = numbers[index + 1] ?? 0;
    if (offset < end || length < 0 || offset + length > size) {
      throw malformed('the segments of a sparse file overlap or lie outside of it');
    }
    end = offset + length;
    stored += length;
    if (length > 0) segments.push({ offset, length });
  }
  if (stored !== payload) throw malformed('the segments of a sparse file do not add up to its payload');
  return segments;
}
