import { StoreError } from '@layerstore/core';

const advice = 'ask whoever publishes the repository; check the configured key and the clock of this machine';

/** @param subject the repository */
export function untrusted(subject: string, reason: string, hint = advice, cause?: unknown): StoreError {
  return new StoreError('ERR_REPOSITORY_UNTRUSTED', reason, { subject, hint, cause });
}
