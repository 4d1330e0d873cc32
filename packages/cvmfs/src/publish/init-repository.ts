import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StoreError } from '@layerstore/core';
import { CatalogFile } from './catalog-file.js';
import { directoryRow } from './directory-row.js';
import { finishRevision } from './finish-revision.js';
import { ObjectStage } from './object-stage.js';
import { PublisherKeys } from './publisher-keys.js';
import { renewWhitelist, WHITELIST_DAYS } from './renew-whitelist.js';
import { MANIFEST_FILE, RepositoryDirectory } from './repository-directory.js';

export interface InitRepositoryOptions {
  /** Fully qualified name, `images.example.org`. */
  readonly name: string;
  /** What web servers will give to clients as the root of the repository; made where it is missing. */
  readonly directory: string;
  /** Where the keys are put; never below `directory`. */
  readonly keys: string;
  /** Validity of the first whitelist; default 30 days. */
  readonly whitelistDays?: number;
  /** Milliseconds since 1970; default: now. */
  readonly now?: number;
}

/**
 * Makes a repository: keys, certificate, signed whitelist, and a first revision that is empty. Costs a second, for the keys.
 * @throws StoreError ERR_EXISTS where there is a repository or a key of it; ERR_INVALID_ARGUMENT; ERR_BUSY; ERR_NEEDS_ROOT, ERR_IO,
 *   ERR_NO_SPACE, ERR_READ_ONLY
 */
export async function initRepository(options: InitRepositoryOptions): Promise<PublisherKeys> {
  const { name, keys: keysDirectory, now = Date.now(), whitelistDays = WHITELIST_DAYS } = options;
  const directory = new RepositoryDirectory(options.directory);
  if (isWithin(options.directory, keysDirectory)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the keys would lie where web servers give files to everybody', {
      subject: keysDirectory,
      hint: 'choose a directory outside the repository',
    });
  }
  if (existsSync(directory.file(MANIFEST_FILE))) throw exists(options.directory);
  const keys = await PublisherKeys.make(keysDirectory, name, new Date(now));
  await using _lock = await directory.lock();
  if (existsSync(directory.file(MANIFEST_FILE))) throw exists(options.directory);
  directory.sweep();
  renewWhitelist(options.directory, keys, whitelistDays, now);
  const stage = new ObjectStage(directory);
  using rootCatalog = CatalogFile.create(join(directory.staging, 'catalog'), '');
  rootCatalog.insert(directoryRow(Buffer.alloc(0), now));
  await finishRevision({ directory, keys, stage, rootCatalog, head: undefined, now });
  directory.sweep();
  return keys;
}

function exists(subject: string): StoreError {
  return new StoreError('ERR_EXISTS', 'there is a repository', {
    subject,
    hint: 'publish to it, or choose another directory',
  });
}

function isWithin(directory: string, path: string): boolean {
  const [outer, inner] = [directory, path].map((one) => `${resolve(one)}/`);
  return inner?.startsWith(outer ?? '') === true;
}
