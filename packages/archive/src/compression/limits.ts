import { StoreError } from '@layerstore/core';
import type { ByteSource } from '../byte-source.js';

/** Bounds on what compressed data may expand to: a blob of a few kilobytes can ask for terabytes. */
export interface ExpansionLimits {
  /** Bytes of output. */
  readonly maxBytes: number;
  /** Output bytes per input byte, applied once there are more than `ratioFrom` bytes of output. */
  readonly maxRatio: number;
  readonly ratioFrom: number;
  /** Bytes of history that a zstd frame may ask the reader to keep in memory. */
  readonly maxWindow: number;
}

/**
 * 1 TiB of output; 1100:1 beyond 1 GiB (deflate itself ends at 1032:1, so gzip never meets the ratio); zstd windows up
 * to 128 MiB, the limit of the zstd program.
 */
export const defaultExpansionLimits: ExpansionLimits = {
  maxBytes: 2 ** 40,
  maxRatio: 1100,
  ratioFrom: 2 ** 30,
  maxWindow: 128 * 2 ** 20,
};

/** Counts both sides of one decompression and stops it at the limits. */
export class ExpansionMeter {
  #input = 0;
  #output = 0;

  constructor(readonly limits: ExpansionLimits) {}

  *input(source: ByteSource): ByteSource {
    for (const chunk of source) {
      this.#input += chunk.length;
      yield chunk;
    }
  }

  /** @throws StoreError ERR_LIMIT_EXCEEDED before the chunk that passes a limit is handed on */
  *output(source: ByteSource): ByteSource {
    const { maxBytes, maxRatio, ratioFrom } = this.limits;
    for (const chunk of source) {
      this.#output += chunk.length;
      if (this.#output > maxBytes) throw exceeded(`more than the limit of ${maxBytes} bytes`);
      if (this.#output > ratioFrom && this.#output > this.#input * maxRatio) {
        throw exceeded(`more than ${maxRatio} times its compressed size`);
      }
      yield chunk;
    }
  }
}

function exceeded(what: string): StoreError {
  return new StoreError('ERR_LIMIT_EXCEEDED', `the compressed data expands to ${what}`, {
    hint: 'if the data is trusted, raise the expansion limits',
  });
}
