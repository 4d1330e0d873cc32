import { StoreError } from '@layerstore/core';
import { decompress } from '../compression/decompress.js';
import { readFileBytes } from './content.js';
import { decodeRecord, type TarSplitRecord } from './record.js';

/** What a tar-split file may cost before it is refused: the store's own files, but also those of other programs. */
export interface TarSplitLimits {
  /** Bytes of one line. Default 64 MiB: Go writes everything behind an archive's end into one record. */
  readonly lineBytes: number;
  /** Records of the whole file. Default 40,000,000. */
  readonly records: number;
}

export const defaultTarSplitLimits: TarSplitLimits = { lineBytes: 64 * 1024 * 1024, records: 40_000_000 };

const NEWLINE = 0x0a;

/**
 * The records of a tar-split file in order, ours or that of dockerd, podman or buildah. Memory is bounded by the
 * longest line.
 * @throws StoreError ERR_STORE_DAMAGED when the file is cut short or is not made of records, ERR_LIMIT_EXCEEDED, ERR_IO
 */
export function* readTarSplit(
  path: string,
  limits: Partial<TarSplitLimits> = {},
): Generator<TarSplitRecord, void, undefined> {
  const { lineBytes, records } = { ...defaultTarSplitLimits, ...limits };
  let count = 0;
  for (const line of lines(path, lineBytes)) {
    count += 1;
    if (count > records) throw exceeded(path, 'records', records);
    const record = decodeRecord(line);
    if (record === undefined) throw damaged(path, `line ${count} is not a tar-split record`);
    yield record;
  }
}

/** The lines of the file without their newlines; a file that ends inside of one is cut short. */
function* lines(path: string, limit: number): Generator<string, void, undefined> {
  let begun: Buffer[] = [];
  let begunLength = 0;
  for (const chunk of uncompressed(path)) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      if (begunLength + piece.length > limit) throw exceeded(path, 'bytes of a line', limit);
      if (end === -1) {
        begun.push(Buffer.from(piece));
        begunLength += piece.length;
        break;
      }
      yield begunLength === 0 ? piece.toString() : Buffer.concat([...begun, piece]).toString();
      begun = [];
      begunLength = 0;
      start = end + 1;
    }
  }
  if (begunLength > 0) throw damaged(path, 'the last record is cut short');
}

function* uncompressed(path: string): Generator<Buffer, void, undefined> {
  try {
    yield* decompress(readFileBytes(path), 'gzip');
  } catch (error) {
    if (!StoreError.is(error) || (error.code !== 'ERR_MALFORMED_ARCHIVE' && error.code !== 'ERR_TRUNCATED'))
      throw error;
    throw damaged(path, error.message);
  }
}

function damaged(path: string, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: path,
    hint: 'remove the image and load it again',
  });
}

function exceeded(path: string, what: string, limit: number): StoreError {
  return new StoreError('ERR_LIMIT_EXCEEDED', `${what} exceed the limit of ${limit}`, { subject: path });
}
