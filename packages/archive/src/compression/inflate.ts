/**
 * Gunzip in TypeScript (RFC 1951 and 1952): what is left when Node's own cannot be called synchronously.
 *
 * Input is pulled byte by byte, output leaves in buffers of 1 MiB. The published decoders were no choice: fflate, the
 * usual one, checks neither checksum nor length, and cannot tell where a member ends.
 */
import { crc32 } from 'node:zlib';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { ByteCursor } from './byte-cursor.js';
import { malformedGzip, requireZeros, truncatedGzip } from './gzip-errors.js';
import { FAST_BITS, HuffmanCode, MAX_BITS } from './huffman.js';

/** Farthest distance of a match. */
const HISTORY = 32 * 1024;
/** Longest match. */
const MAX_MATCH = 258;

export function* inflateGzip(source: ByteSource): ByteSource {
  using cursor = new ByteCursor(source);
  const inflater = new Inflater(cursor);
  let first = byteOf(cursor);
  for (;;) {
    readMemberHeader(cursor, first);
    yield* inflater.member();
    first = cursor.next();
    if (first === -1) return;
    if (first === 0) break;
  }
  for (let rest = cursor.take(BUFFER_SIZE); rest !== undefined; rest = cursor.take(BUFFER_SIZE)) requireZeros(rest);
}

function byteOf(cursor: ByteCursor): number {
  const byte = cursor.next();
  if (byte === -1) throw truncatedGzip();
  return byte;
}

/** RFC 1952 section 2.3; the optional parts are skipped. */
function readMemberHeader(cursor: ByteCursor, first: number): void {
  if (first !== 0x1f || byteOf(cursor) !== 0x8b) throw malformedGzip('a member does not begin with the gzip magic');
  if (byteOf(cursor) !== 8) throw malformedGzip('unknown compression method');
  const flags = byteOf(cursor);
  if ((flags & 0xe0) !== 0) throw malformedGzip('reserved header flags are set');
  const skip = (length: number) => {
    for (let count = 0; count < length; count += 1) byteOf(cursor);
  };
  const skipText = () => {
    while (byteOf(cursor) !== 0);
  };
  skip(6);
  if ((flags & 4) !== 0) skip(byteOf(cursor) | (byteOf(cursor) << 8));
  if ((flags & 8) !== 0) skipText();
  if ((flags & 16) !== 0) skipText();
  if ((flags & 2) !== 0) skip(2);
}

/** The extra bits and bases of length codes 257 to 285 and of distance codes 0 to 29 (RFC 1951 section 3.2.5). */
const lengthExtra = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const lengthBase = [...bases(lengthExtra.slice(0, -1), 3), MAX_MATCH];
const distanceExtra = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
const distanceBase = bases(distanceExtra, 1);
/** The order in which the lengths of the code-length code are sent (section 3.2.7). */
const codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

function bases(extra: readonly number[], first: number): number[] {
  const result: number[] = [];
  let base = first;
  for (const bits of extra) {
    result.push(base);
    base += 1 << bits;
  }
  return result;
}

interface BlockCodes {
  readonly literals: HuffmanCode;
  readonly distances: HuffmanCode;
}

function fixedCodes(): BlockCodes {
  const literals = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
  return { literals: new HuffmanCode(literals, false), distances: new HuffmanCode(new Uint8Array(32).fill(5), false) };
}

class Inflater {
  /** The last 32 KiB that were delivered, then what is being filled. */
  readonly #buffer = Buffer.allocUnsafe(HISTORY + BUFFER_SIZE + MAX_MATCH);
  #end = HISTORY;
  /** Bytes of this member so far: bounds the distances, and is checked against the trailer. */
  #size = 0;
  #crc = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(private readonly cursor: ByteCursor) {}

  /** Everything between header and trailer of one member, and the trailer's check. */
  *member(): ByteSource {
    this.#size = 0;
    this.#crc = 0;
    this.#bits = 0;
    this.#bitCount = 0;
    for (let last = false; !last;) {
      last = this.#take(1) === 1;
      const type = this.#take(2);
      if (type === 0) yield* this.#stored();
      else if (type === 1) yield* this.#compressed(fixedCodes());
      else if (type === 2) yield* this.#compressed(this.#dynamicCodes());
      else throw malformedGzip('unknown block type');
    }
    yield* this.#deliver();
    // Whole bytes that were fetched ahead belong to the trailer.
    this.#take(this.#bitCount & 7);
    if (this.#word() !== this.#crc) throw malformedGzip('wrong checksum');
    if (this.#word() !== this.#size % 2 ** 32) throw malformedGzip('wrong length');
  }

  *#stored(): ByteSource {
    this.#take(this.#bitCount & 7);
    const length = this.#take(8) | (this.#take(8) << 8);
    const complement = this.#take(8) | (this.#take(8) << 8);
    if ((length ^ complement) !== 0xffff) throw malformedGzip('invalid stored block length');
    for (let count = 0; count < length; count += 1) {
      this.#buffer[this.#end] = this.#take(8);
      this.#end += 1;
      if (this.#end >= HISTORY + BUFFER_SIZE) yield* this.#deliver();
    }
  }

  *#compressed({ literals, distances }: BlockCodes): ByteSource {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol < 256) {
        this.#buffer[this.#end] = symbol;
        this.#end += 1;
      } else if (symbol === 256) return;
      else this.#copyMatch(symbol - 257, distances);
      if (this.#end >= HISTORY + BUFFER_SIZE) yield* this.#deliver();
    }
  }

  #copyMatch(lengthCode: number, distances: HuffmanCode): void {
    const length = (lengthBase[lengthCode] ?? invalidCode()) + this.#take(lengthExtra[lengthCode] ?? 0);
    const distanceCode = this.#symbol(distances);
    const distance = (distanceBase[distanceCode] ?? invalidCode()) + this.#take(distanceExtra[distanceCode] ?? 0);
    if (distance > this.#size + this.#end - HISTORY) throw malformedGzip('a match reaches before the start');
    const buffer = this.#buffer;
    let end = this.#end;
    for (const stop = end + length; end < stop; end += 1) buffer[end] = buffer[end - distance] ?? 0;
    this.#end = end;
  }

  /** Section 3.2.7. */
  #dynamicCodes(): BlockCodes {
    const literalCount = this.#take(5) + 257;
    const distanceCount = this.#take(5) + 1;
    const codeLengthCount = this.#take(4) + 4;
    if (literalCount > 286 || distanceCount > 30) throw malformedGzip('too many codes');
    const codeLengths = new Uint8Array(19);
    for (const symbol of codeLengthOrder.slice(0, codeLengthCount)) codeLengths[symbol] = this.#take(3);
    const code = huffman(codeLengths, false);
    const lengths = new Uint8Array(literalCount + distanceCount);
    for (let index = 0; index < lengths.length;) {
      const symbol = this.#symbol(code);
      if (symbol < 16) {
        lengths[index] = symbol;
        index += 1;
        continue;
      }
      if (symbol === 16 && index === 0) throw malformedGzip('a repeated code length without one before it');
      const value = symbol === 16 ? (lengths[index - 1] ?? 0) : 0;
      const repeat = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
      if (index + repeat > lengths.length) throw malformedGzip('too many code lengths');
      lengths.fill(value, index, index + repeat);
      index += repeat;
    }
    if (lengths[256] === 0) throw malformedGzip('no code ends the block');
    const literals = huffman(lengths.subarray(0, literalCount), true);
    return { literals, distances: huffman(lengths.subarray(literalCount), true) };
  }

  /** Hands on what is filled and keeps the history. */
  *#deliver(): ByteSource {
    if (this.#end === HISTORY) return;
    const filled = this.#buffer.subarray(HISTORY, this.#end);
    this.#crc = crc32(filled, this.#crc);
    this.#size += filled.length;
    yield filled;
    this.#buffer.copyWithin(0, this.#end - HISTORY, this.#end);
    this.#end = HISTORY;
  }

  #symbol(code: HuffmanCode): number {
    this.#fill(MAX_BITS);
    const entry = code.fast[this.#bits & ((1 << FAST_BITS) - 1)] ?? 0;
    const length = entry & 15;
    if (length === 0 || length > this.#bitCount) return this.#longSymbol(code);
    this.#bits >>>= length;
    this.#bitCount -= length;
    return entry >> 4;
  }

  #longSymbol(code: HuffmanCode): number {
    let offset = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= MAX_BITS; length += 1) {
      offset = offset * 2 + this.#take(1);
      const count = code.counts[length] ?? 0;
      if (offset - first < count) return code.symbols[index + offset - first] ?? invalidCode();
      index += count;
      first = (first + count) * 2;
    }
    return invalidCode();
  }

  /** The next `count` bits, at most 16. */
  #take(count: number): number {
    this.#fill(count);
    if (this.#bitCount < count) throw truncatedGzip();
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#bitCount -= count;
    return value;
  }

  #word(): number {
    return (this.#take(16) | (this.#take(16) << 16)) >>> 0;
  }

  /** Fetches bytes until there are `count` bits, or the input has ended. */
  #fill(count: number): void {
    while (this.#bitCount < count) {
      const byte = this.cursor.next();
      if (byte === -1) return;
      this.#bits |= byte << this.#bitCount;
      this.#bitCount += 8;
    }
  }
}

function huffman(lengths: Uint8Array, singleAllowed: boolean): HuffmanCode {
  try {
    return new HuffmanCode(lengths, singleAllowed);
  } catch (error) {
    if (error instanceof RangeError) throw malformedGzip(error.message);
    throw error;
  }
}

function invalidCode(): never {
  throw malformedGzip('invalid code');
}
