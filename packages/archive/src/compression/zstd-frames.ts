/**
 * The frame structure of a zstd stream (RFC 8878 section 3.1), read without decoding it.
 *
 * Decoders differ in what they report: Node's does not say that a frame is cut off, fzstd checks no checksum and
 * stumbles over skippable frames. So the frames are followed here, block by block, for all of them: skippable frames
 * are left out, and truncation, trailing data and windows that are too large are found in one place.
 */
import { StoreError } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';
import { ByteCursor } from './byte-cursor.js';

/** Bytes of a frame, as stored; valid until the next piece. */
export interface FramePiece {
  readonly bytes: Buffer;
  /** Set on the last piece of a frame. */
  readonly end?: FrameEnd;
}

export interface FrameEnd {
  /** The low 32 bits of XXH64 over the frame's content, where the frame has them. */
  readonly checksum: number | undefined;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;

/**
 * @param maxWindow bytes; a decoder allocates what the frame asks for, so frames that ask for more are refused
 * @throws StoreError ERR_TRUNCATED, ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED, ERR_UNSUPPORTED_FORMAT (dictionaries)
 */
export function* readFrames(source: ByteSource, maxWindow: number): Iterable<FramePiece> {
  using cursor = new ByteCursor(source);
  for (let frames = 0; ; frames += 1) {
    const magic = cursor.field(4);
    if (magic.length === 0 && frames > 0) return;
    if (magic.length < 4) throw truncatedZstd();
    const number = magic.readUInt32LE();
    if (number === MAGIC) yield* readFrame(cursor, magic, maxWindow);
    else if ((number & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) skip(cursor, exactly(cursor, 4).readUInt32LE());
    else throw malformedZstd(frames === 0 ? 'it does not begin with a frame' : 'there is data after the last frame');
  }
}

function* readFrame(cursor: ByteCursor, magic: Buffer, maxWindow: number): Iterable<FramePiece> {
  const descriptor = exactly(cursor, 1);
  const layout = headerLayout(descriptor.readUInt8());
  const header = exactly(cursor, layout.length);
  const window = windowSize(header, layout);
  if (window > maxWindow) {
    throw new StoreError(
      'ERR_LIMIT_EXCEEDED',
      `a zstd frame asks for a window of ${window} bytes, allowed are ${maxWindow}`,
      {
        hint: 'compress it again with a smaller window, or raise maxWindow',
      },
    );
  }
  yield { bytes: Buffer.concat([magic, descriptor, header]) };
  for (let last = false; !last;) {
    const blockHeader = exactly(cursor, 3);
    const value = blockHeader.readUIntLE(0, 3);
    last = (value & 1) === 1;
    const type = (value >> 1) & 3;
    if (type === 3) throw malformedZstd('unknown block type');
    yield* readBlock(cursor, blockHeader, type === RLE_BLOCK ? 1 : value >> 3, last && !layout.checksum);
  }
  if (!layout.checksum) return;
  const bytes = exactly(cursor, 4);
  yield { bytes, end: { checksum: bytes.readUInt32LE() } };
}

const RLE_BLOCK = 1;
const endWithoutChecksum: FrameEnd = { checksum: undefined };

function* readBlock(cursor: ByteCursor, header: Buffer, size: number, ends: boolean): Iterable<FramePiece> {
  const piece = (bytes: Buffer, left: number) => (ends && left === 0 ? { bytes, end: endWithoutChecksum } : { bytes });
  yield piece(header, size);
  for (let left = size; left > 0;) {
    const bytes = cursor.take(left);
    if (bytes === undefined) throw truncatedZstd();
    left -= bytes.length;
    yield piece(bytes, left);
  }
}

interface HeaderLayout {
  /** Bytes after the descriptor. */
  readonly length: number;
  /** Without a window descriptor the content size, which then stands first, is the window. */
  readonly singleSegment: boolean;
  readonly sizeLength: number;
  readonly checksum: boolean;
}

/** Section 3.1.1.1.1. */
function headerLayout(descriptor: number): HeaderLayout {
  if ((descriptor & 0x08) !== 0) throw malformedZstd('a reserved header bit is set');
  if ((descriptor & 0x03) !== 0) {
    throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'the zstd data needs a dictionary', {
      hint: 'compress it without a dictionary',
    });
  }
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const length = sizeLength + (singleSegment ? 0 : 1);
  return { length, singleSegment, sizeLength, checksum: (descriptor & 0x04) !== 0 };
}

/** Section 3.1.1.1.2 and 3.1.1.1.4. */
function windowSize(header: Buffer, layout: HeaderLayout): number {
  if (!layout.singleSegment) {
    const descriptor = header.readUInt8();
    const base = 2 ** (10 + (descriptor >> 3));
    return base + (base / 8) * (descriptor & 7);
  }
  if (layout.sizeLength === 8) return Number(header.readBigUInt64LE());
  const value = header.readUIntLE(0, layout.sizeLength);
  return layout.sizeLength === 2 ? value + 256 : value;
}

function exactly(cursor: ByteCursor, length: number): Buffer {
  const field = cursor.field(length);
  if (field.length < length) throw truncatedZstd();
  return field;
}

function skip(cursor: ByteCursor, length: number): void {
  for (let left = length; left > 0;) {
    const bytes = cursor.take(left);
    if (bytes === undefined) throw truncatedZstd();
    left -= bytes.length;
  }
}

export function truncatedZstd(): StoreError {
  return new StoreError('ERR_TRUNCATED', 'the zstd data ends too early', { hint: 'fetch or copy the archive again' });
}

export function malformedZstd(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', `the zstd data is damaged: ${reason}`, {
    hint: 'fetch or copy the archive again',
  });
}
