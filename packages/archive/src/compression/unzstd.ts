import { StoreError } from '@layerstore/core';
import { loadZstd, type ZstdDecompressor, type ZstdLibrary } from '@layerstore/linux';
import { Decompress } from 'fzstd';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { CodecError, openZstdDecompress, ZSTD_e_continue, type CodecProgress, type SyncCodec } from './sync-codec.js';
import { XxHash64 } from './xxhash64.js';
import { malformedZstd, readFrames, type FramePiece } from './zstd-frames.js';

/**
 * `node`: built into Node from 22.15 on. `library`: the system's libzstd. Both reach 1 GB/s and more. `portable`:
 * JavaScript, 70 MB/s.
 */
export type UnzstdEngine = 'node' | 'library' | 'portable';

/** Engines that work here, in the order in which they are tried. */
export function unzstdEngines(): UnzstdEngine[] {
  const engines: UnzstdEngine[] = [];
  using codec = openZstdDecompress(27);
  if (codec !== undefined) engines.push('node');
  if (loadLibrary() !== undefined) engines.push('library');
  engines.push('portable');
  return engines;
}

/**
 * Decompresses zstd: any number of frames, skippable ones included, and nothing after them.
 * @throws StoreError ERR_TRUNCATED, ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED (window), ERR_UNSUPPORTED_FORMAT
 */
export function* unzstd(source: ByteSource, maxWindow: number, engine?: UnzstdEngine): ByteSource {
  using decoder = openDecoder(engine, maxWindow);
  for (const piece of readFrames(source, maxWindow)) yield* decoder.decode(piece);
}

interface Decoder extends Disposable {
  /** What becomes available with this piece; after the last piece of a frame, everything. */
  decode(piece: FramePiece): ByteSource;
}

function openDecoder(engine: UnzstdEngine | undefined, maxWindow: number): Decoder {
  const windowLog = Math.min(31, Math.max(10, Math.ceil(Math.log2(maxWindow))));
  if (engine === undefined || engine === 'node') {
    const codec = openZstdDecompress(windowLog);
    if (codec !== undefined) return new NodeDecoder(codec);
  }
  if (engine === undefined || engine === 'library') {
    const library = loadLibrary();
    if (library !== undefined) return new LibraryDecoder(library.decompressor({ windowLogMax: windowLog }));
  }
  if (engine === undefined || engine === 'portable') return new PortableDecoder();
  throw new StoreError('ERR_NOT_SUPPORTED', `the zstd decoder '${engine}' does not work here`);
}

/** libzstd is bound through koffi, which layerstore has on Linux only. */
function loadLibrary(): ZstdLibrary | undefined {
  return process.platform === 'linux' ? loadZstd() : undefined;
}

class LibraryDecoder implements Decoder {
  readonly #output = Buffer.allocUnsafe(BUFFER_SIZE);

  constructor(private readonly stream: ZstdDecompressor) {}

  *decode({ bytes, end }: FramePiece): ByteSource {
    for (let offset = 0, more = true; more || offset < bytes.length;) {
      const { read, written, remaining } = this.stream.decompress(bytes.subarray(offset), this.#output);
      offset += read;
      more = written === this.#output.length && remaining !== 0;
      if (written > 0) yield this.#output.subarray(0, written);
      if (end !== undefined && offset === bytes.length && !more && remaining !== 0) {
        throw malformedZstd('the frame ends before its content');
      }
    }
  }

  [Symbol.dispose](): void {
    this.stream[Symbol.dispose]();
  }
}

class NodeDecoder implements Decoder {
  readonly #output = Buffer.allocUnsafe(BUFFER_SIZE);

  constructor(private readonly codec: SyncCodec) {}

  *decode({ bytes }: FramePiece): ByteSource {
    for (let offset = 0, more = true; more || offset < bytes.length;) {
      const { consumed, produced } = this.#step(bytes, offset);
      offset += consumed;
      more = produced === this.#output.length;
      if (produced > 0) yield this.#output.subarray(0, produced);
    }
  }

  #step(bytes: Buffer, offset: number): CodecProgress {
    try {
      return this.codec.write(ZSTD_e_continue, bytes, offset, this.#output);
    } catch (error) {
      if (error instanceof CodecError) throw malformedZstd(error.message.toLowerCase());
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.codec[Symbol.dispose]();
  }
}

/** fzstd, one decoder per frame; it does not check checksums, so that is done here. */
class PortableDecoder implements Decoder {
  #blocks: Buffer[] = [];
  #frame: Decompress | undefined;
  #hash = new XxHash64();

  *decode({ bytes, end }: FramePiece): ByteSource {
    this.#frame ??= new Decompress((block) => {
      this.#blocks.push(Buffer.from(block.buffer, block.byteOffset, block.byteLength));
    });
    this.#push(this.#frame, bytes, end !== undefined);
    for (const block of this.#blocks) {
      this.#hash.update(block);
      if (block.length > 0) yield block;
    }
    this.#blocks = [];
    if (end === undefined) return;
    if (end.checksum !== undefined && BigInt.asUintN(32, this.#hash.digest()) !== BigInt(end.checksum)) {
      throw malformedZstd('wrong checksum');
    }
    this.#frame = undefined;
    this.#hash = new XxHash64();
  }

  #push(frame: Decompress, bytes: Buffer, last: boolean): void {
    try {
      // fzstd keeps what it cannot decode yet, and the piece's buffer is about to be used again.
      frame.push(Buffer.from(bytes), last);
    } catch (error) {
      throw malformedZstd(error instanceof Error ? error.message : String(error));
    }
  }

  [Symbol.dispose](): void {
    this.#frame = undefined;
  }
}
