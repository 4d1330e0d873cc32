import { StoreError } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';

/** How a layer blob is packed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** Bytes that {@link detectCompression} looks at. */
export const DETECTION_LENGTH = 10;

/** RFC 1952 section 2.3.1: ID1, ID2, and CM = deflate. */
const gzipMagic = Buffer.from([0x1f, 0x8b, 0x08]);
/** RFC 8878 section 3.1.1, little-endian 0xFD2FB528. */
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const xzMagic = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
/** A bzip2 stream is `BZh`, a level, and the digits of pi (a block) or of its square root (the end). */
const bzip2Magic = Buffer.from('BZh');
const bzip2Blocks = [Buffer.from('314159265359', 'hex'), Buffer.from('177245385090', 'hex')];

/**
 * Tells the compression by the first bytes of a blob ({@link DETECTION_LENGTH} suffice; fewer are allowed). What no
 * magic number matches is `'none'`. Media types are not trusted for this: registries and tools mislabel layers.
 * @throws StoreError ERR_UNSUPPORTED_FORMAT for bzip2 and xz, by name
 */
export function detectCompression(head: Uint8Array): Compression {
  if (startsWith(head, gzipMagic)) return 'gzip';
  if (startsWith(head, zstdMagic) || isSkippableFrame(head)) return 'zstd';
  if (startsWith(head, xzMagic)) throw unsupported('xz', 'xz -d');
  if (startsWith(head, bzip2Magic) && bzip2Blocks.some((block) => startsWith(head.subarray(4), block))) {
    throw unsupported('bzip2', 'bzip2 -d');
  }
  return 'none';
}

/** The first bytes of a source (fewer where it is shorter), and a source that still delivers them. */
export function peek(source: ByteSource, length = DETECTION_LENGTH): { head: Buffer; source: ByteSource } {
  const iterator = source[Symbol.iterator]();
  const parts: Buffer[] = [];
  let held = 0;
  while (held < length) {
    const step = iterator.next();
    if (step.done === true) break;
    parts.push(Buffer.from(step.value));
    held += step.value.length;
  }
  const head = Buffer.concat(parts);
  return { head: head.subarray(0, length), source: resume(head, iterator) };
}

function* resume(head: Buffer, iterator: Iterator<Buffer>): ByteSource {
  try {
    if (head.length > 0) yield head;
    for (let step = iterator.next(); step.done !== true; step = iterator.next()) yield step.value;
  } finally {
    iterator.return?.();
  }
}

/** RFC 8878 section 3.1.2: 0x184D2A50 to 0x184D2A5F. Producers of seekable zstd may begin with one. */
function isSkippableFrame(head: Uint8Array): boolean {
  return head[0] !== undefined && (head[0] & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
}

function startsWith(head: Uint8Array, magic: Uint8Array): boolean {
  return head.length >= magic.length && magic.every((byte, index) => head[index] === byte);
}

function unsupported(name: string, program: string): StoreError {
  return new StoreError('ERR_UNSUPPORTED_FORMAT', `layers compressed with ${name} are not supported`, {
    hint: `unpack it with \`${program}\` first, or compress it with gzip or zstd`,
  });
}
