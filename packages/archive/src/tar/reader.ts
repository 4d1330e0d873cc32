import { fromSystemError, StoreError } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';
import { exceeded, malformed, truncated, unsupported } from './archive-errors.js';
import { BLOCK_SIZE, isZeroBlock, paddingLength } from './block.js';
import type { SparseSegment, TarEntry } from './entry.js';
import { copyString, decodeHeader, type Header } from './header.js';
import { TarInput } from './input.js';
import { resolveTarLimits, type TarLimits } from './limits.js';
import { entryType, type Extensions, memberName, payloadSize, paxValue, toEntry } from './member.js';
import type { TarObserver } from './observer.js';
import { mergeGlobals, noRecords, parsePax } from './pax.js';
import { readOldGnuSparse, readPaxSparse, type SparseFile } from './sparse.js';

export type { TarObserver } from './observer.js';

/** A piece of a member's content. */
export interface PayloadChunk {
  /** A slice of the source's chunk: valid until the next one is asked for. */
  readonly data: Buffer;
  /** Where it belongs in the expanded file. Holes of sparse files are not delivered. */
  readonly offset: number;
}

export interface TarReaderOptions {
  readonly limits?: Partial<TarLimits>;
  /** Sees the raw bytes of the archive, as tar-split needs them. */
  readonly observer?: TarObserver;
}

/** The type flags of headers that describe the member after them. */
const PAX_LOCAL = 0x78;
const PAX_GLOBAL = 0x67;
const GNU_LONG_NAME = 0x4c;
const GNU_LONG_LINK = 0x4b;
const GNU_SPARSE = 0x53;
const GNU_DUMP_DIRECTORY = 0x44;

const noChunks: readonly PayloadChunk[] = [];

/**
 * Reads a tar archive, member by member, from a synchronous source: V7, ustar, star, PAX (local and global records) and
 * GNU (long names, base-256 numbers), with all sparse forms expanded.
 *
 * What Go's archive/tar accepts is accepted, with the same result, because the engines use it: archives without closing
 * blocks or padding, one closing block, anything behind the end (which is not read as members). Stricter are: members
 * without a name, ids beyond 32 bits, types that stand for no file, sparse forms that are not known.
 *
 * Content is handed out without copying. The cost of a member is its entry; nothing is kept of earlier ones.
 *
 * Errors name the member by number and offset, and end the reading: ERR_MALFORMED_ARCHIVE, ERR_TRUNCATED when the
 * archive ends inside a member, ERR_LIMIT_EXCEEDED ({@link TarLimits}), ERR_UNSUPPORTED_FORMAT, and what the source throws.
 */
export class TarReader {
  readonly #input: TarInput;
  readonly #limits: TarLimits;
  readonly #globals = new Map<string, Buffer>();
  #headers = 0;
  #headerOffset = 0;
  #ended = false;
  #failure: StoreError | undefined;
  /** Payload of the current member that was not handed out, and the padding behind it. */
  #remaining = 0;
  #padding = 0;
  #payloadOffset = 0;
  #segments: readonly SparseSegment[] | undefined;

  constructor(source: ByteSource, options: TarReaderOptions = {}) {
    this.#input = new TarInput(source, options.observer);
    this.#limits = resolveTarLimits(options.limits);
  }

  /**
   * The next member; what is left of the previous one is passed over. Undefined at the end of the archive, when the
   * source has been read to its own end.
   */
  next(): TarEntry | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#next();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** What is left of the current member's content, in ascending order. Empty for members without content. */
  payload(): Iterable<PayloadChunk> {
    if (this.#remaining === 0) return noChunks;
    if (this.#segments !== undefined || this.#input.available < this.#remaining) return this.#chunks(this.#headers);
    const offset = this.#payloadOffset;
    const data = this.#take(this.#remaining);
    return [{ data, offset }];
  }

  /** Ends the source; for readers that are given up before the end. */
  [Symbol.dispose](): void {
    this.#input.close();
  }

  #next(): TarEntry | undefined {
    if (this.#ended) return undefined;
    this.#finishMember();
    const entry = this.#readMember();
    if (entry === undefined) {
      this.#ended = true;
      this.#input.drain();
    }
    this.#input.showRaw();
    return entry;
  }

  #finishMember(): void {
    while (this.#remaining > 0) this.#take(this.#remaining);
    // Archives may end without the padding of their last member.
    this.#input.skip(this.#padding);
    this.#padding = 0;
  }

  #readMember(): TarEntry | undefined {
    let extensions: Extensions = {
      records: noRecords,
      globals: this.#globals,
      longName: undefined,
      longLink: undefined,
    };
    for (;;) {
      const block = this.#readHeaderBlock();
      if (block === undefined) {
        if (
          extensions.records === noRecords &&
          extensions.longName === undefined &&
          extensions.longLink === undefined
        ) {
          return undefined;
        }
        throw malformed('an extension header has no member after it');
      }
      const header = decodeHeader(block);
      // Sizes in PAX records are those of the member: an extension header always keeps its own.
      switch (header.typeFlag) {
        case PAX_LOCAL:
          extensions = { ...extensions, records: parsePax(this.#readExtension(header)) };
          continue;
        case PAX_GLOBAL:
          this.#mergeGlobals(this.#readExtension(header));
          continue;
        case GNU_LONG_NAME:
          extensions = { ...extensions, longName: cString(this.#readExtension(header)) };
          continue;
        case GNU_LONG_LINK:
          extensions = { ...extensions, longLink: cString(this.#readExtension(header)) };
          continue;
      }
      const entry = this.#openMember(header, block, extensions);
      if (entry !== undefined) return entry;
      extensions = { ...extensions, records: noRecords, longName: undefined, longLink: undefined };
    }
  }

  /** Undefined at the end: no more bytes, or a block of zeros followed by another one or by nothing. */
  #readHeaderBlock(): Buffer | undefined {
    this.#headerOffset = this.#input.offset;
    const block = this.#input.block();
    if (block.length === 0) return undefined;
    const zero = isZeroBlock(block);
    if (block.length < BLOCK_SIZE) {
      if (zero) return undefined;
      throw truncated('a header');
    }
    if (zero) {
      if (isZeroBlock(this.#input.block()) || this.#input.offset < this.#headerOffset + 2 * BLOCK_SIZE)
        return undefined;
      throw malformed('a single block of zeros stands between two members');
    }
    this.#headers += 1;
    if (this.#headers > this.#limits.members) throw exceeded('members', this.#limits.members);
    return block;
  }

  #readExtension(header: Header): Buffer {
    if (header.size < 0) throw malformed('the size of an extension header is negative');
    if (header.size > this.#limits.extensionBytes) {
      throw exceeded('bytes of an extension header', this.#limits.extensionBytes);
    }
    const content = this.#input.copy(header.size, 'an extension header');
    this.#input.skip(paddingLength(header.size));
    return content;
  }

  #mergeGlobals(content: Buffer): void {
    const { extensionBytes, globalRecords } = this.#limits;
    const bytes = mergeGlobals(this.#globals, parsePax(content));
    if (this.#globals.size > globalRecords) throw exceeded('global PAX records', globalRecords);
    if (bytes > extensionBytes) throw exceeded('bytes of global PAX records', extensionBytes);
  }

  /** Undefined for members that stand for no file. */
  #openMember(header: Header, block: Buffer, extensions: Extensions): TarEntry | undefined {
    const name = memberName(header, extensions);
    const type = entryType(header.typeFlag, name);
    const stored = payloadSize(header, type, extensions);
    if (type === undefined || header.typeFlag === GNU_DUMP_DIRECTORY) {
      this.#skipContent(stored);
      return type === undefined ? undefined : toEntry(header, type, name, noContent, extensions, this.#limits);
    }
    const sparse = this.#readSparse(header, block, stored, extensions);
    if (sparse !== undefined && type !== 'file') throw malformed('a member that is not a file has a sparse map');
    this.#remaining = stored - (sparse?.mapBytes ?? 0);
    this.#padding = paddingLength(stored);
    this.#payloadOffset = 0;
    this.#segments = sparse?.segments;
    const sparseName = sparse === undefined ? undefined : paxValue(extensions, 'GNU.sparse.name');
    return toEntry(header, type, sparseName ?? name, { size: stored, sparse }, extensions, this.#limits);
  }

  #readSparse(header: Header, block: Buffer, stored: number, extensions: Extensions): SparseFile | undefined {
    const limit = this.#limits.sparseSegments;
    if (header.typeFlag === GNU_SPARSE) {
      if (header.format !== 'gnu')
        throw unsupported('sparse members of type "S" are supported in the form of GNU tar only');
      return readOldGnuSparse(block, stored, this.#readMapBlock, limit);
    }
    if (extensions.records === noRecords) return undefined;
    return readPaxSparse(extensions.records, stored, this.#readMapBlock, limit);
  }

  readonly #readMapBlock = (): Buffer => {
    const block = this.#input.block();
    if (block.length < BLOCK_SIZE) throw truncated('the map of a sparse file');
    return block;
  };

  #skipContent(size: number): void {
    if (this.#input.skip(size) < size) throw truncated('a member');
    this.#input.skip(paddingLength(size));
  }

  /** The next slice of stored payload, at most `limit` bytes. */
  #take(limit: number): Buffer {
    if (this.#failure !== undefined) throw this.#failure;
    let slice: Buffer | undefined;
    try {
      slice = this.#input.payload(limit);
    } catch (error) {
      throw this.#fail(error);
    }
    if (slice === undefined) throw this.#fail(truncated('a member'));
    this.#remaining -= slice.length;
    this.#payloadOffset += slice.length;
    return slice;
  }

  *#chunks(member: number): Generator<PayloadChunk, void, undefined> {
    const stored = this.#payloadOffset + this.#remaining;
    let end = 0;
    for (const segment of this.#segments ?? [{ offset: 0, length: stored }]) {
      const shift = segment.offset - end;
      end += segment.length;
      while (this.#headers === member && this.#payloadOffset < end) {
        const offset = this.#payloadOffset + shift;
        yield { data: this.#take(end - this.#payloadOffset), offset };
      }
    }
  }

  /** Ends the reading, and adds the place to an error that has none. */
  #fail(cause: unknown): StoreError {
    const error = fromSystemError(cause);
    this.#failure =
      error.subject !== undefined
        ? error
        : new StoreError(error.code, error.message, {
            subject: `archive member ${this.#headers} at byte ${this.#headerOffset}`,
            ...(error.hint === undefined ? {} : { hint: error.hint }),
            cause: error.cause,
          });
    return this.#failure;
  }
}

const noContent = { size: 0, sparse: undefined } as const;

/** Long names are strings of C: they end at the first NUL. An empty one says nothing. */
function cString(bytes: Buffer): Buffer | undefined {
  const name = copyString(bytes, 0, bytes.length);
  return name.length === 0 ? undefined : name;
}
