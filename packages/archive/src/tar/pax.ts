import { malformed } from './archive-errors.js';
import { parseDecimal } from './numbers.js';

/**
 * The records of PAX extended headers (POSIX.1-2017, pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`.
 *
 * Values are bytes. Keys are Latin-1 strings, one character per byte, so that names of attributes survive as well.
 */
export interface PaxRecords {
  /** An empty value says that the record is deleted, here and in the global records. */
  readonly values: Map<string, Buffer>;
  /** `GNU.sparse.offset` and `GNU.sparse.numbytes`, which sparse format 0.0 repeats, in their order. */
  readonly sparseNumbers: number[];
}

export const noRecords: PaxRecords = { values: new Map(), sparseNumbers: [] };

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
/** `5 a=\n`: no record is shorter. */
const SHORTEST_RECORD = 5;

const stringKeys: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname', 'GNU.sparse.name']);

/**
 * Parses the payload of an extended header. The values are slices of `block`.
 * @throws StoreError ERR_MALFORMED_ARCHIVE
 */
export function parsePax(block: Buffer): PaxRecords {
  const records: PaxRecords = { values: new Map(), sparseNumbers: [] };
  let position = 0;
  while (position < block.length) position = parseRecord(block, position, records);
  return records;
}

/** Reads the record at `start` and returns the end of it. */
function parseRecord(block: Buffer, start: number, records: PaxRecords): number {
  const space = block.indexOf(SPACE, start);
  const length = space === -1 ? undefined : parseDecimal(block, start, space);
  if (length === undefined) throw malformed('a PAX record does not begin with its length');
  const end = start + length;
  if (length < SHORTEST_RECORD || end > block.length || block[end - 1] !== NEWLINE) {
    throw malformed('the length of a PAX record does not fit');
  }
  const equals = block.indexOf(EQUALS, space);
  if (equals === -1 || equals >= end) throw malformed('a PAX record has no value');
  const key = block.toString('latin1', space + 1, equals);
  if (key.includes('\0')) throw malformed('the key of a PAX record holds a NUL byte');
  const value = block.subarray(equals + 1, end - 1);
  if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
    addSparseNumber(records.sparseNumbers, key, value);
  } else {
    // A C program would end such a name at the NUL, others would not: two readers, two different files.
    if (stringKeys.has(key) && value.includes(0)) throw malformed(`the PAX record "${key}" holds a NUL byte`);
    records.values.set(key, value);
  }
  return end;
}

function addSparseNumber(numbers: number[], key: string, value: Buffer): void {
  const expected = numbers.length % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes';
  const number = parseDecimal(value);
  if (key !== expected || number === undefined)
    throw malformed('the sparse map in the PAX records is not a list of pairs');
  numbers.push(number);
}

/**
 * Lays the records of a global header over those of earlier ones; an empty value deletes. Sparse maps describe one
 * file and are not taken. Returns the bytes that `globals` now holds.
 */
export function mergeGlobals(globals: Map<string, Buffer>, records: PaxRecords): number {
  for (const [key, value] of records.values) {
    if (key.startsWith('GNU.sparse.')) continue;
    if (value.length === 0) globals.delete(key);
    else globals.set(key, value);
  }
  let bytes = 0;
  for (const [key, value] of globals) bytes += key.length + value.length;
  return bytes;
}

/** Encodes one record; the length counts its own digits. */
export function encodePaxRecord(key: Buffer | string, value: Buffer | string): Buffer {
  const body = Buffer.concat([Buffer.from(' '), toBytes(key), Buffer.from('='), toBytes(value), Buffer.from('\n')]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function toBytes(text: Buffer | string): Buffer {
  return typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
}
