/**
 * The system's libzstd, for Node versions without zstd of their own: 2 GB/s decompressed, 30 times a pure JavaScript
 * decoder. Only its stable streaming interface is used (zstd.h, "Streaming"; 1.4.0 and later).
 */
import { StoreError } from '@layerstore/core';
import type { LibraryHandle } from 'koffi';
import { loadKoffi, type NativeType, type NativeValue } from './native/libc.js';

/** What one step did. */
export interface ZstdStep {
  /** Bytes taken from the input. */
  readonly read: number;
  /** Bytes put into the output. */
  readonly written: number;
  /**
   * Decompressing: 0 when a frame has ended and is written out completely; what follows belongs to another frame.
   * Compressing: bytes that are still inside and need more output; 0 when the directive has been carried out.
   */
  readonly remaining: number;
}

export interface ZstdDecompressor extends Disposable {
  /**
   * Decompresses what fits. Call again with the rest of the input; a filled output with `remaining` not 0 may have left
   * more inside, so call once more even without input. Input that ends while `remaining` is not 0 is truncated: the
   * caller says so.
   * @throws StoreError ERR_MALFORMED_ARCHIVE for data that is not zstd or is damaged
   */
  decompress(input: Uint8Array, output: Uint8Array): ZstdStep;
}

export interface ZstdCompressor extends Disposable {
  /** `end` closes the frame: call with the same rest of the input until `remaining` is 0. */
  compress(input: Uint8Array, output: Uint8Array, directive: 'continue' | 'flush' | 'end'): ZstdStep;
}

export interface ZstdLibrary {
  /** For example `1.5.7`. */
  readonly version: string;
  /**
   * @param windowLogMax power of two of the largest window accepted, which is also the memory taken; 27 = 128 MiB, as
   * the `zstd` program accepts
   */
  decompressor(options?: { readonly windowLogMax?: number }): ZstdDecompressor;
  /** `level` 1 to 19; `size` in bytes, where known, is written into the frame. Frames carry a checksum. */
  compressor(options: { readonly level: number; readonly size?: number }): ZstdCompressor;
}

// enum values of zstd.h
const ZSTD_d_windowLogMax = 100;
const ZSTD_c_compressionLevel = 100;
const ZSTD_c_checksumFlag = 201;
const DIRECTIVE = { continue: 0, flush: 1, end: 2 } as const;

let found: ZstdLibrary | undefined | null = null;

/**
 * libzstd.so.1, or `undefined` where it is not installed. Looked for once per thread.
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM off Linux, ERR_MISSING_PREREQUISITE without koffi
 */
export function loadZstd(): ZstdLibrary | undefined {
  if (found === null) found = bindZstd();
  return found;
}

type Pointer = bigint | null;
type Call<Result> = (...values: NativeValue[]) => Result;

function bindZstd(): ZstdLibrary | undefined {
  const koffi = loadKoffi();
  let library: LibraryHandle;
  try {
    // Node from 22.15 on exports the symbols of its own zstd. Without deep binding libzstd's inner calls would end up
    // there, in another version with other structures.
    library = koffi.load('libzstd.so.1', { deep: true });
  } catch {
    return undefined;
  }
  const bind = <Result>(name: string, result: NativeType | 'str', parameters: NativeType[]): Call<Result> =>
    library.func(name, result, parameters);

  const versionString = bind<string>('ZSTD_versionString', 'str', []);
  const isError = bind<number>('ZSTD_isError', 'uint', ['long']);
  const errorName = bind<string>('ZSTD_getErrorName', 'str', ['long']);
  const createDecoder = bind<Pointer>('ZSTD_createDCtx', 'void *', []);
  const freeDecoder = bind<number>('ZSTD_freeDCtx', 'long', ['void *']);
  const setDecoder = bind<number>('ZSTD_DCtx_setParameter', 'long', ['void *', 'int', 'int']);
  const decode = bind<number>('ZSTD_decompressStream', 'long', ['void *', 'void *', 'void *']);
  const createEncoder = bind<Pointer>('ZSTD_createCCtx', 'void *', []);
  const freeEncoder = bind<number>('ZSTD_freeCCtx', 'long', ['void *']);
  const setEncoder = bind<number>('ZSTD_CCtx_setParameter', 'long', ['void *', 'int', 'int']);
  const setSize = bind<number>('ZSTD_CCtx_setPledgedSrcSize', 'long', ['void *', 'long']);
  const encode = bind<number>('ZSTD_compressStream2', 'long', ['void *', 'void *', 'void *', 'int']);

  const check = (result: number): number => {
    if (isError(result) === 0) return result;
    throw new StoreError('ERR_MALFORMED_ARCHIVE', `zstd data: ${errorName(result).toLowerCase()}`);
  };

  /** Runs one step over ZSTD_outBuffer and ZSTD_inBuffer: address, size, position each. */
  const step = (
    input: Uint8Array,
    output: Uint8Array,
    run: (out: BigUint64Array, into: BigUint64Array) => number,
  ): ZstdStep => {
    const out = BigUint64Array.of(koffi.address(output), BigInt(output.length), 0n);
    const into = BigUint64Array.of(koffi.address(input), BigInt(input.length), 0n);
    const remaining = check(run(out, into));
    return { read: Number(into[2]), written: Number(out[2]), remaining };
  };

  return {
    version: versionString(),
    decompressor({ windowLogMax = 27 } = {}) {
      const context = new Context(createDecoder(), freeDecoder);
      check(setDecoder(context.pointer, ZSTD_d_windowLogMax, windowLogMax));
      return {
        decompress: (input, output) => step(input, output, (out, into) => decode(context.pointer, out, into)),
        [Symbol.dispose]: () => context[Symbol.dispose](),
      };
    },
    compressor({ level, size }) {
      const context = new Context(createEncoder(), freeEncoder);
      check(setEncoder(context.pointer, ZSTD_c_compressionLevel, level));
      check(setEncoder(context.pointer, ZSTD_c_checksumFlag, 1));
      if (size !== undefined) check(setSize(context.pointer, size));
      return {
        compress: (input, output, directive) =>
          step(input, output, (out, into) => encode(context.pointer, out, into, DIRECTIVE[directive])),
        [Symbol.dispose]: () => context[Symbol.dispose](),
      };
    },
  };
}

/** A context of the library; freed once, and not used afterwards, which would end the process. */
class Context implements Disposable {
  #pointer: Pointer;

  constructor(
    pointer: Pointer,
    private readonly free: Call<number>,
  ) {
    if (pointer === null) throw new StoreError('ERR_IO', 'out of memory for a zstd stream');
    this.#pointer = pointer;
  }

  get pointer(): bigint {
    if (this.#pointer === null) throw new StoreError('ERR_CLOSED', 'the zstd stream is closed');
    return this.#pointer;
  }

  [Symbol.dispose](): void {
    if (this.#pointer === null) return;
    this.free(this.#pointer);
    this.#pointer = null;
  }
}
