import { StoreError } from '@layerstore/core';

/** The error that an operation ends in; fails when it succeeds or throws something else. */
export async function failure(operation: () => unknown): Promise<StoreError> {
  try {
    await operation();
  } catch (error) {
    if (StoreError.is(error)) return error;
    throw error;
  }
  throw new Error('the operation succeeded');
}
