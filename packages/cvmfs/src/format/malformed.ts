import { StoreError } from '@layerstore/core';

/** The error of everything in a repository that does not follow its format. */
export function malformed(subject: string, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MALFORMED_REPOSITORY', reason, {
    subject,
    hint: 'tell whoever publishes the repository; older revisions may be sound',
    cause,
  });
}
