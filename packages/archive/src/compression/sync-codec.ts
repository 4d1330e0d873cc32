/**
 * Node's zlib and zstd codecs, called synchronously and in pieces.
 *
 * `node:zlib` offers streams (asynchronous, 16 KiB at a time by default) and one-shot calls (everything in memory). The
 * object behind its streams can do what a worker thread needs: take some input, fill some output, return. That object
 * is not public, so a {@link SyncCodec} is only made after a self-test has found the shape and the results that this
 * file relies on (checked on Node 20, 22 and 24); otherwise callers take their own decoder.
 */
import * as zlib from 'node:zlib';

export interface CodecProgress {
  /** Input bytes taken. */
  readonly consumed: number;
  /** Bytes written to the start of the output. */
  readonly produced: number;
}

/** What a codec has to say about its input; callers turn it into a StoreError. */
export class CodecError extends Error {
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
    this.name = 'CodecError';
  }
}

/** Inflates gzip; `undefined` where Node's internals are not as expected. */
export function openGunzip(): SyncCodec | undefined {
  gunzipWorks ??= decodesSample(gunzipStream, zlib.gzipSync(sample));
  return gunzipWorks ? openCodec(gunzipStream) : undefined;
}

/**
 * Decompresses zstd; `undefined` on Node versions without it (it came with 22.15 and 23.8).
 * @param windowLog power of two of the largest window accepted
 */
export function openZstdDecompress(windowLog: number): SyncCodec | undefined {
  const open = () => callZlib('createZstdDecompress', { params: { [ZSTD_d_windowLogMax]: windowLog } });
  zstdWorks ??= decodesSample(open, sampleAsZstd);
  return zstdWorks ? openCodec(open) : undefined;
}

/** Compresses into one zstd frame with a checksum; `undefined` like {@link openZstdDecompress}. */
export function openZstdCompress(level: number): SyncCodec | undefined {
  zstdWorks ??= decodesSample(() => callZlib('createZstdDecompress'), sampleAsZstd);
  const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 };
  return zstdWorks ? openCodec(() => callZlib('createZstdCompress', { params })) : undefined;
}

/** The flush values of zlib.h and zstd.h that callers need. */
export const Z_NO_FLUSH = 0;
export const Z_FINISH = 4;
export const ZSTD_e_continue = 0;
export const ZSTD_e_end = 2;

/** The private object behind a stream of `node:zlib`. */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  onerror: (message: string, errno: number, code: string) => void;
}

interface CodecStream {
  readonly _handle: Handle;
  /** After each write: free output bytes, then input bytes left. */
  readonly _writeState: Uint32Array;
  close(): void;
}

type OpenStream = () => unknown;

export class SyncCodec implements Disposable {
  readonly #stream: CodecStream;
  #error: CodecError | undefined;

  /** Made by {@link openGunzip} and its siblings. */
  constructor(stream: CodecStream) {
    this.#stream = stream;
    stream._handle.onerror = (message, _errno, code) => {
      this.#error = new CodecError(message, code);
    };
  }

  /**
   * Feeds `input` from `offset` on and fills `output` from its start. Less than all input is taken only when `output`
   * is full, or when the compressed stream has ended.
   * @throws CodecError
   */
  write(flush: number, input: Uint8Array, offset: number, output: Uint8Array): CodecProgress {
    const { _handle: handle, _writeState: state } = this.#stream;
    const length = input.length - offset;
    handle.writeSync(flush, input, offset, length, output, 0, output.length);
    if (this.#error !== undefined) throw this.#error;
    const [outputLeft = 0, inputLeft = 0] = state;
    return { consumed: length - inputLeft, produced: output.length - outputLeft };
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }
}

const ZSTD_c_compressionLevel = 100;
const ZSTD_c_checksumFlag = 201;
const ZSTD_d_windowLogMax = 100;

const sample = Buffer.from('layerstore '.repeat(16));
/** The sample as `zstd -3` packs it. */
const sampleAsZstd = Buffer.from('28b52ffd0458950000586c6179657273746f72652001002253c50b4bd404b9', 'hex');

let gunzipWorks: boolean | undefined;
let zstdWorks: boolean | undefined;

function gunzipStream(): unknown {
  return zlib.createGunzip();
}

/** Calls a function of `node:zlib` that this Node version may not have. */
function callZlib(name: string, ...values: unknown[]): unknown {
  const create: unknown = Reflect.get(zlib, name);
  return typeof create === 'function' ? (Reflect.apply(create, zlib, values) as unknown) : undefined;
}

function openCodec(open: OpenStream): SyncCodec | undefined {
  const stream = open();
  return isCodecStream(stream) ? new SyncCodec(stream) : undefined;
}

/** True when decoding in pieces gives the sample, and damage is reported. */
function decodesSample(open: OpenStream, compressed: Uint8Array): boolean {
  try {
    using codec = openCodec(open);
    using second = openCodec(open);
    if (codec === undefined || second === undefined) return false;
    const half = compressed.length >> 1;
    const output = Buffer.alloc(sample.length * 2);
    const head = codec.write(Z_NO_FLUSH, compressed.subarray(0, half), 0, output);
    const tail = codec.write(Z_NO_FLUSH, compressed, half, output.subarray(head.produced));
    const produced = output.subarray(0, head.produced + tail.produced);
    const consumed = head.consumed + tail.consumed;
    return consumed === compressed.length && produced.equals(sample) && reportsDamage(second, output);
  } catch {
    // Whatever a changed internal object throws, the answer is the same: it is not to be relied on.
    return false;
  }
}

function reportsDamage(codec: SyncCodec, output: Uint8Array): boolean {
  try {
    codec.write(Z_NO_FLUSH, Buffer.alloc(64, 0x55), 0, output);
    return false;
  } catch (error) {
    return error instanceof CodecError;
  }
}

function isCodecStream(value: unknown): value is CodecStream {
  if (typeof value !== 'object' || value === null) return false;
  const handle: unknown = Reflect.get(value, '_handle');
  const state: unknown = Reflect.get(value, '_writeState');
  return (
    typeof handle === 'object' &&
    handle !== null &&
    typeof Reflect.get(handle, 'writeSync') === 'function' &&
    state instanceof Uint32Array &&
    state.length === 2
  );
}
