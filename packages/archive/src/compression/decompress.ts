import type { ByteSource } from '../byte-source.js';
import type { Compression } from './detect.js';
import { gunzip, type GunzipEngine } from './gunzip.js';
import { defaultExpansionLimits, ExpansionMeter, type ExpansionLimits } from './limits.js';
import { unzstd, type UnzstdEngine } from './unzstd.js';

export interface DecompressOptions {
  /** What is left out is taken from {@link defaultExpansionLimits}. */
  readonly limits?: Partial<ExpansionLimits>;
  /** Forces a decoder; by default the fastest that works is taken. */
  readonly gunzipEngine?: GunzipEngine;
  readonly unzstdEngine?: UnzstdEngine;
}

/**
 * The uncompressed bytes of a source, in chunks of up to 1 MiB in a buffer that is used again for each. Memory stays
 * the same however long the source is (about 3 MiB, for zstd plus the frame's window). gzip runs at 700 MB/s and more,
 * zstd at 1 GB/s and more where Node or the system has it.
 * @throws StoreError ERR_TRUNCATED when the data ends too early
 * @throws StoreError ERR_MALFORMED_ARCHIVE for damaged data, and for anything but zero bytes after a gzip stream
 * @throws StoreError ERR_LIMIT_EXCEEDED when the data expands beyond the limits
 */
export function decompress(source: ByteSource, kind: Compression, options: DecompressOptions = {}): ByteSource {
  const limits = { ...defaultExpansionLimits, ...options.limits };
  const meter = new ExpansionMeter(limits);
  const input = meter.input(source);
  switch (kind) {
    case 'none':
      return meter.output(input);
    case 'gzip':
      return meter.output(gunzip(input, options.gunzipEngine));
    case 'zstd':
      return meter.output(unzstd(input, limits.maxWindow, options.unzstdEngine));
  }
}
