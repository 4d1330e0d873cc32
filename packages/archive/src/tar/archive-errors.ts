import { StoreError } from '@layerstore/core';

/** The archive breaks its format; the reader adds where. */
export function malformed(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', reason);
}

/** The archive exceeds the limit of that name; the reader adds where. */
export function exceeded(what: string, limit: number): StoreError {
  return new StoreError('ERR_LIMIT_EXCEEDED', `${what} exceed the limit of ${limit}`, {
    hint: 'raise the limit only if the archive comes from a source that you trust',
  });
}

/** The archive ends where more was announced; the reader adds where. */
export function truncated(what: string): StoreError {
  return new StoreError('ERR_TRUNCATED', `the archive ends inside ${what}`, {
    hint: 'fetch the archive again: it was cut short',
  });
}

/** The archive uses a form that exists but has no meaning for a layer; the reader adds where. */
export function unsupported(reason: string): StoreError {
  return new StoreError('ERR_UNSUPPORTED_FORMAT', reason);
}
