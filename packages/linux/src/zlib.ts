/**
 * The system's libz, for Node versions whose own inflate cannot be called synchronously. Only its stable streaming
 * interface is used (zlib.h: inflateInit2, inflate, inflateReset, inflateEnd); Debian and Alpine always have it.
 */
import { StoreError } from '@layerstore/core';
import type { LibraryHandle } from 'koffi';
import { loadKoffi, type NativeType, type NativeValue } from './native/libc.js';

/** What one step did. */
export interface InflateStep {
  /** Bytes taken from the input. */
  readonly read: number;
  /** Bytes put into the output. */
  readonly written: number;
  /** A gzip member has ended and its checksum and length are right; `reset` begins the next. */
  readonly ended: boolean;
}

export interface GzipInflater extends Disposable {
  /**
   * Inflates what fits. A step that does nothing needs more input, or more room in the output.
   * @throws StoreError ERR_MALFORMED_ARCHIVE for data that is not gzip or is damaged
   */
  inflate(input: Uint8Array, output: Uint8Array): InflateStep;
  reset(): void;
}

// Return codes of zlib.h.
const Z_OK = 0;
const Z_STREAM_END = 1;
const Z_BUF_ERROR = -5;
const Z_NO_FLUSH = 0;
/** Largest window, gzip header and trailer. */
const GZIP_WINDOW_BITS = 15 + 16;

/** `z_stream` where pointers and `long` have 64 bits: byte offsets of the fields that are used, and its size. */
const NEXT_IN = 0;
const AVAIL_IN = 8;
const NEXT_OUT = 24;
const AVAIL_OUT = 32;
const STREAM_SIZE = 112;

type Call = (...values: NativeValue[]) => number;

interface Zlib {
  readonly init: (stream: Uint8Array) => number;
  readonly inflate: Call;
  readonly reset: Call;
  readonly end: Call;
  readonly address: (bytes: Uint8Array) => bigint;
}

let found: Zlib | undefined | null = null;

/**
 * Opens an inflater of libz.so.1; `undefined` where it is not installed.
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM off Linux, ERR_MISSING_PREREQUISITE without koffi
 */
export function openZlibInflater(): GzipInflater | undefined {
  if (found === null) found = bindZlib();
  return found === undefined ? undefined : new Inflater(found);
}

function bindZlib(): Zlib | undefined {
  const koffi = loadKoffi();
  let library: LibraryHandle;
  try {
    // Node exports the symbols of its own zlib; deep binding keeps the library's inner calls inside the library.
    library = koffi.load('libz.so.1', { deep: true });
  } catch {
    return undefined;
  }
  const bind = (name: string, parameters: NativeType[]): Call => library.func(name, 'int', parameters);
  const version = (library.func('zlibVersion', 'str', []) as unknown as () => string)();
  const init = library.func('inflateInit2_', 'int', ['void *', 'int', 'str', 'int']);
  return {
    init: (stream) => init(stream, GZIP_WINDOW_BITS, version, STREAM_SIZE) as number,
    inflate: bind('inflate', ['void *', 'int']),
    reset: bind('inflateReset', ['void *']),
    end: bind('inflateEnd', ['void *']),
    address: (bytes) => koffi.address(bytes),
  };
}

class Inflater implements GzipInflater {
  readonly #stream = Buffer.alloc(STREAM_SIZE);
  #open = false;

  constructor(private readonly library: Zlib) {
    if (library.init(this.#stream) !== Z_OK) throw new StoreError('ERR_IO', 'out of memory for a gzip stream');
    this.#open = true;
  }

  inflate(input: Uint8Array, output: Uint8Array): InflateStep {
    this.#requireOpen();
    this.#stream.writeBigUInt64LE(this.library.address(input), NEXT_IN);
    this.#stream.writeUInt32LE(input.length, AVAIL_IN);
    this.#stream.writeBigUInt64LE(this.library.address(output), NEXT_OUT);
    this.#stream.writeUInt32LE(output.length, AVAIL_OUT);
    const result = this.library.inflate(this.#stream, Z_NO_FLUSH);
    if (result !== Z_OK && result !== Z_STREAM_END && result !== Z_BUF_ERROR) {
      throw new StoreError('ERR_MALFORMED_ARCHIVE', `gzip data: libz reports error ${result}`);
    }
    return {
      read: input.length - this.#stream.readUInt32LE(AVAIL_IN),
      written: output.length - this.#stream.readUInt32LE(AVAIL_OUT),
      ended: result === Z_STREAM_END,
    };
  }

  reset(): void {
    this.#requireOpen();
    this.library.reset(this.#stream);
  }

  /** Freed once, and not used afterwards, which would end the process. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.library.end(this.#stream);
  }

  #requireOpen(): void {
    if (!this.#open) throw new StoreError('ERR_CLOSED', 'the gzip stream is closed');
  }
}
