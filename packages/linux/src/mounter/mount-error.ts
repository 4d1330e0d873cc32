import { StoreError } from '@layerstore/core';
import { hasErrno } from '../native/errno.js';
import { OverlayFailure } from './overlay-failure.js';

const explanations: Readonly<Record<string, string>> = {
  ENODEV: 'the kernel does not know the file system; try: modprobe overlay',
  ENOENT: 'a directory of a layer is missing',
  ELOOP: 'a directory is used twice, or one lies inside another',
  ESTALE: 'the upper directory was used with other lower directories before',
};

/** What is reported when a plan cannot be mounted: the kernel's words where it has some. */
export function mountError(error: unknown, point: string): StoreError {
  if (StoreError.is(error)) return error;
  const failure = error instanceof OverlayFailure ? error : undefined;
  const cause = failure === undefined ? error : (failure.cause ?? failure);
  const code = hasErrno(cause, 'ENOSPC', 'EDQUOT') ? 'ERR_NO_SPACE' : 'ERR_MOUNT_FAILED';
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  const hint = errno === undefined ? undefined : explanations[errno];
  const message = cause instanceof Error ? cause.message : String(cause);
  const reason = failure === undefined || failure.text === '' ? message : described(failure.text, errno);
  return new StoreError(code, `cannot be mounted: ${reason}`, {
    subject: point,
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

function described(text: string, errno: string | undefined): string {
  return errno === undefined ? text : `${text} (${errno})`;
}
