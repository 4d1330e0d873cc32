import { writeFileDurably } from '@layerstore/linux';
import { StoreError } from '@layerstore/core';
import type { PublisherKeys } from './publisher-keys.js';
import { RepositoryDirectory, WHITELIST_FILE } from './repository-directory.js';
import { signWhitelist } from './sign-documents.js';

export const WHITELIST_DAYS = 30;
const DAY = 86_400_000;
const LONGEST_DAYS = 3_650;

/**
 * Signs a whitelist for the certificate of the repository and puts it in place of the one there, in one step. It needs the master key; the
 * revision stays the same.
 * @param days for which it is valid, 1 to 3 650
 * @param now milliseconds since 1970
 * @returns when it expires
 * @throws StoreError ERR_NOT_FOUND, ERR_INVALID_ARGUMENT for keys and days; ERR_IO, ERR_NO_SPACE, ERR_NEEDS_ROOT, ERR_READ_ONLY
 */
export function renewWhitelist(directory: string, keys: PublisherKeys, days = WHITELIST_DAYS, now = Date.now()): Date {
  if (!Number.isInteger(days) || days < 1 || days > LONGEST_DAYS) {
    throw new StoreError('ERR_INVALID_ARGUMENT', `a whitelist is valid for 1 to ${LONGEST_DAYS} days`, {
      subject: String(days),
    });
  }
  const expiresAt = new Date(now + days * DAY);
  const document = signWhitelist(keys, new Date(now), expiresAt);
  writeFileDurably(new RepositoryDirectory(directory).file(WHITELIST_FILE), document, 0o644);
  return expiresAt;
}
