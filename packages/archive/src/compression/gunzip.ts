import { StoreError } from '@layerstore/core';
import { openZlibInflater, type GzipInflater } from '@layerstore/linux';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { malformedGzip, requireZeros, truncatedGzip } from './gzip-errors.js';
import { inflateByLibrary } from './library-gunzip.js';
import { CodecError, openGunzip, Z_FINISH, Z_NO_FLUSH, type SyncCodec } from './sync-codec.js';

/**
 * `node`: Node's zlib, 700 MB/s and more. `library`: the system's libz, for Node versions whose internals have changed.
 */
export type GunzipEngine = 'node' | 'library';

/** Engines that work here, in the order in which they are tried. */
export function gunzipEngines(): GunzipEngine[] {
  using codec = openGunzip();
  using inflater = openLibrary();
  return [
    ...(codec === undefined ? [] : (['node'] as const)),
    ...(inflater === undefined ? [] : (['library'] as const)),
  ];
}

/**
 * Inflates gzip (RFC 1952): any number of members, then nothing or zero bytes (tape and disk padding).
 * @throws StoreError ERR_TRUNCATED, ERR_MALFORMED_ARCHIVE (bad data, bad checksum, anything else after the last member)
 * @throws StoreError ERR_MISSING_PREREQUISITE where no engine works
 */
export function* gunzip(source: ByteSource, engine?: GunzipEngine): ByteSource {
  using codec = engine === 'library' ? undefined : openGunzip();
  if (codec !== undefined) {
    yield* inflateWith(codec, source);
    return;
  }
  using inflater = engine === 'node' ? undefined : openLibrary();
  if (inflater !== undefined) {
    yield* inflateByLibrary(inflater, source);
    return;
  }
  throw new StoreError(
    'ERR_MISSING_PREREQUISITE',
    'this Node cannot inflate synchronously, and libz.so.1 was not found',
    {
      hint: 'install zlib (Debian: zlib1g), or use Node 20, 22 or 24',
    },
  );
}

/** libz is bound through koffi, which layerstore has on Linux only. */
function openLibrary(): GzipInflater | undefined {
  return process.platform === 'linux' ? openZlibInflater() : undefined;
}

function* inflateWith(codec: SyncCodec, source: ByteSource): ByteSource {
  const output = Buffer.allocUnsafe(BUFFER_SIZE);
  let ended = false;
  for (const chunk of source) {
    let offset = 0;
    while (!ended && offset < chunk.length) {
      const { consumed, produced } = step(codec, Z_NO_FLUSH, chunk, offset, output);
      offset += consumed;
      // zlib stops short of its input only where a member is followed by a zero byte.
      ended = produced < output.length && offset < chunk.length;
      if (produced > 0) yield output.subarray(0, produced);
    }
    if (ended) requireZeros(chunk.subarray(offset));
  }
  for (let more = true; more;) {
    const { produced } = step(codec, Z_FINISH, nothing, 0, output);
    more = produced === output.length;
    if (produced > 0) yield output.subarray(0, produced);
  }
}

const nothing = Buffer.alloc(0);

function step(codec: SyncCodec, flush: number, input: Buffer, offset: number, output: Buffer) {
  try {
    return codec.write(flush, input, offset, output);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    throw error.code === 'Z_BUF_ERROR' ? truncatedGzip() : malformedGzip(error.message);
  }
}
