import { isUtf8 } from 'node:buffer';

/**
 * One record of a tar-split file (github.com/vbatts/tar-split, the form that dockerd, podman and buildah keep beside
 * each layer), from which the layer's archive is made again, byte for byte:
 *
 *     {"type":2,"payload":"<base64>","position":0}                      raw bytes: headers, padding, the end
 *     {"type":1,"name":"a","size":5,"payload":"<base64>","position":1}  content of a file, and its CRC-64/ISO
 *
 * One JSON object a line, gzip over all. A name that is not UTF-8 stands in base64 as `name_raw`. A record of type 1
 * without a size stands for a member without content.
 */
export type TarSplitRecord = TarSplitSegment | TarSplitFile;

export interface TarSplitSegment {
  readonly kind: 'segment';
  readonly payload: Buffer;
}

export interface TarSplitFile {
  readonly kind: 'file';
  /** As the member was named in the archive. */
  readonly name: Buffer;
  readonly size: number;
  /** CRC-64/ISO of the content, 8 bytes; empty for size 0. */
  readonly checksum: Buffer;
}

const SEGMENT = 2;
const FILE = 1;
const CHECKSUM_BYTES = 8;
const REPLACEMENT = Buffer.from('\ufffd');

/** The line of a record, with its newline: as Go's encoding/json writes it. */
export function encodeRecord(record: TarSplitRecord, position: number): string {
  const payload = record.kind === 'segment' ? record.payload : record.checksum;
  const middle = record.kind === 'segment' ? '' : `${encodeName(record.name)}${encodeSize(record.size)}`;
  const text = payload.length === 0 && record.kind === 'file' ? 'null' : `"${payload.toString('base64')}"`;
  return `{"type":${record.kind === 'segment' ? SEGMENT : FILE},${middle}"payload":${text},"position":${position}}\n`;
}

function encodeSize(size: number): string {
  return size === 0 ? '' : `"size":${size},`;
}

/** The replacement character counts as not UTF-8: tar-split cannot tell it from a decoding error. */
function encodeName(name: Buffer): string {
  if (name.length === 0) return '';
  if (!isUtf8(name) || name.includes(REPLACEMENT)) return `"name_raw":"${name.toString('base64')}",`;
  return `"name":${escapeForHtml(JSON.stringify(name.toString()))},`;
}

/** Go escapes what HTML or JavaScript might take amiss. */
function escapeForHtml(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (text) => `\\u${text.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The record in one line of JSON; undefined when it is none. */
export function decodeRecord(line: string): TarSplitRecord | undefined {
  const object = parseObject(line);
  if (object === undefined) return undefined;
  const payload = decodeBase64(object['payload'] ?? '');
  if (payload === undefined) return undefined;
  if (object['type'] === SEGMENT) return { kind: 'segment', payload };
  if (object['type'] !== FILE) return undefined;
  const name = decodeName(object['name'], object['name_raw']);
  const size = object['size'] ?? 0;
  if (name === undefined || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  if (size > 0 && payload.length !== CHECKSUM_BYTES) return undefined;
  return { kind: 'file', name, size, checksum: payload };
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function decodeName(name: unknown, raw: unknown): Buffer | undefined {
  if (raw !== undefined && raw !== null && raw !== '') return decodeBase64(raw);
  if (name === undefined) return Buffer.alloc(0);
  return typeof name === 'string' ? Buffer.from(name) : undefined;
}

/** Node skips what is not base64; the length tells whether it did. */
function decodeBase64(text: unknown): Buffer | undefined {
  if (typeof text !== 'string' || text.length % 4 !== 0) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return bytes.length === (text.length / 4) * 3 - padding ? bytes : undefined;
}
