import { fromSystemError, StoreError } from '@layerstore/core';

/**
 * Says which archive an error is about, where the code that raised it saw only bytes.
 * @param hint the next step, if the error brings none
 */
export function errorAbout(cause: unknown, subject: string, hint?: string): StoreError {
  const error = fromSystemError(cause, subject);
  if (error.subject === subject) return error;
  const next = error.hint ?? hint;
  return new StoreError(error.code, error.message, { subject, cause, ...(next === undefined ? {} : { hint: next }) });
}
