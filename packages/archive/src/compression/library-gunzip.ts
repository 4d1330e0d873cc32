import { hasCode } from '@layerstore/core';
import type { GzipInflater } from '@layerstore/linux';
import type { ByteSource } from '../byte-source.js';
import { BUFFER_SIZE } from './buffer.js';
import { malformedGzip, requireZeros, truncatedGzip } from './gzip-errors.js';

/** Inflates any number of members, then zero bytes, with the system's libz. */
export function* inflateByLibrary(inflater: GzipInflater, source: ByteSource): ByteSource {
  const output = Buffer.allocUnsafe(BUFFER_SIZE);
  let state: 'between members' | 'in a member' | 'padding' = 'in a member';
  for (const chunk of source) {
    let offset = 0;
    while (state !== 'padding' && offset < chunk.length) {
      if (state === 'between members') {
        state = chunk[offset] === 0 ? 'padding' : 'in a member';
        inflater.reset();
        continue;
      }
      const { read, written, ended } = step(inflater, chunk.subarray(offset), output);
      offset += read;
      if (ended) state = 'between members';
      if (written > 0) yield output.subarray(0, written);
    }
    if (state === 'padding') requireZeros(chunk.subarray(offset));
  }
  while (state === 'in a member') {
    const { written, ended } = step(inflater, nothing, output);
    if (written > 0) yield output.subarray(0, written);
    else if (!ended) throw truncatedGzip();
    if (ended) state = 'between members';
  }
}

const nothing = Buffer.alloc(1).subarray(0, 0);

function step(inflater: GzipInflater, input: Buffer, output: Buffer) {
  try {
    return inflater.inflate(input, output);
  } catch (error) {
    if (hasCode(error, 'ERR_MALFORMED_ARCHIVE')) throw malformedGzip(error.message);
    throw error;
  }
}
