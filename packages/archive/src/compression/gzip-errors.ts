import { StoreError } from '@layerstore/core';

/** Only padding may follow the last member. */
export function requireZeros(rest: Buffer): void {
  if (!rest.equals(Buffer.alloc(rest.length))) throw malformedGzip('there is data after the padding');
}

export function truncatedGzip(): StoreError {
  return new StoreError('ERR_TRUNCATED', 'the gzip data ends too early', { hint: 'fetch or copy the archive again' });
}

export function malformedGzip(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', `the gzip data is damaged: ${reason}`, {
    hint: 'fetch or copy the archive again',
  });
}
