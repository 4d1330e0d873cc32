import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { fromSystemError, StoreError } from '@layerstore/core';
import { FileLock, hasErrno, removeTree } from '@layerstore/linux';
import { defaultLimits } from '../configuration/configuration.js';
import { emptyBlacklist } from '../format/blacklist.js';
import { formatHash, hashBytes, isSameHash } from '../format/content-hash.js';
import { malformed } from '../format/malformed.js';
import type { Manifest } from '../format/manifest.js';
import { objectPath, type ObjectReference } from '../format/object-reference.js';
import { readManifest, verifyManifest } from '../trust/verify-manifest.js';
import { checkExpiry, parseMasterKey, verifyWhitelist } from '../trust/verify-whitelist.js';
import type { PublisherKeys } from './publisher-keys.js';

export const MANIFEST_FILE = '.cvmfspublished';
export const WHITELIST_FILE = '.cvmfswhitelist';
export const REFLOG_FILE = '.cvmfsreflog';

/** What `writeFileDurably` leaves beside one of the three when it is killed. */
const LEFTOVER = /^\.\.cvmfs(published|whitelist|reflog)\.[0-9a-f]{16}\.tmp$/;
/** Milliseconds after which a whitelist that is just being written is none any more. */
const OLD = 3_600_000;

/**
 * The root of a repository on disk, as web servers give it to clients:
 *
 *     .cvmfspublished  .cvmfswhitelist  .cvmfsreflog
 *     data/bf/2207f01f...     objects
 *     data/txn/               0700; what a publication prepares, and the lock that publishers exclude each other with
 */
export class RepositoryDirectory {
  constructor(readonly path: string) {}

  get staging(): string {
    return join(this.path, 'data/txn');
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /**
   * Makes the directories and locks them against other publishers, of all processes.
   * @throws StoreError ERR_BUSY while another publisher is at work; ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_READ_ONLY
   */
  async lock(): Promise<FileLock> {
    try {
      mkdirSync(join(this.path, 'data'), { recursive: true, mode: 0o755 });
      mkdirSync(this.staging, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromSystemError(error, this.path);
    }
    const lock = await FileLock.tryAcquire(join(this.staging, 'lock'));
    if (lock !== undefined) return lock;
    throw new StoreError('ERR_BUSY', 'another publisher is at work in this repository', {
      subject: this.path,
      hint: 'try again when it has ended',
    });
  }

  /** Nothing is made where nothing is. @throws StoreError ERR_NOT_FOUND */
  requireRepository(): void {
    this.#read(MANIFEST_FILE);
  }

  /** Removes what an ended publication has left; only for who holds the lock. @throws StoreError ERR_IO, ERR_BUSY, ERR_NEEDS_ROOT */
  sweep(): void {
    try {
      for (const name of readdirSync(this.staging)) if (name !== 'lock') removeTree(join(this.staging, name));
      for (const name of readdirSync(this.path)) if (this.#isLeftover(name)) rmSync(this.file(name), { force: true });
    } catch (error) {
      throw fromSystemError(error, this.staging);
    }
  }

  /**
   * The manifest in force, verified as a client does it: who publishes on top vouches for what is there.
   * @param now milliseconds since 1970
   * @throws StoreError ERR_NOT_FOUND where there is no repository; ERR_REPOSITORY_UNTRUSTED, ERR_MALFORMED_REPOSITORY
   */
  readHead(keys: PublisherKeys, now: number): Manifest {
    const { repository } = keys;
    const document = this.#read(MANIFEST_FILE);
    const masterKey = parseMasterKey(keys.publicMasterKey, repository);
    const whitelist = verifyWhitelist(this.#read(WHITELIST_FILE), repository, [masterKey]);
    try {
      checkExpiry(whitelist, repository, now);
    } catch (cause) {
      throw new StoreError('ERR_REPOSITORY_UNTRUSTED', 'the whitelist has expired', {
        subject: repository,
        hint: 'sign a new one with the master key first: `layerstore thin renew`',
        cause,
      });
    }
    const hash = readManifest(document, repository).certificate;
    const certificate = this.readObject({ kind: 'certificate', hash });
    return verifyManifest(document, { repository, certificate, whitelist, blacklist: emptyBlacklist });
  }

  /**
   * The content of a catalog, history or certificate, which are always compressed.
   * @throws StoreError ERR_OBJECT_UNAVAILABLE for one that is missing or damaged
   */
  readObject(object: Pick<ObjectReference, 'kind' | 'hash'>): Buffer {
    const subject = this.file(objectPath(object));
    let stored: Buffer;
    try {
      stored = readFileSync(subject);
    } catch (cause) {
      throw new StoreError('ERR_OBJECT_UNAVAILABLE', 'the object cannot be read', { subject, cause });
    }
    if (!isSameHash(hashBytes(object.hash.algorithm, stored), object.hash)) {
      throw new StoreError('ERR_OBJECT_UNAVAILABLE', `its bytes are not those of ${formatHash(object.hash)}`, {
        subject,
        hint: 'restore it from a replica or a backup',
      });
    }
    try {
      return inflateSync(stored, { maxOutputLength: defaultLimits.catalogSize });
    } catch (cause) {
      throw malformed(subject, 'the object cannot be decompressed', cause);
    }
  }

  /** The raw database, or undefined where there is none. @throws StoreError ERR_IO, ERR_NEEDS_ROOT */
  readReflog(): Buffer | undefined {
    try {
      return readFileSync(this.file(REFLOG_FILE));
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw fromSystemError(error, this.file(REFLOG_FILE));
    }
  }

  /** Whitelists are renewed without the lock. */
  #isLeftover(name: string): boolean {
    const [, document] = LEFTOVER.exec(name) ?? [];
    if (document !== 'whitelist') return document !== undefined;
    const status = statSync(this.file(name), { throwIfNoEntry: false });
    return status !== undefined && Date.now() - status.mtimeMs > OLD;
  }

  #read(name: string): Buffer {
    try {
      return readFileSync(this.file(name));
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw fromSystemError(error, this.file(name));
      throw new StoreError('ERR_NOT_FOUND', 'there is no repository', {
        subject: this.path,
        hint: 'make one first: `layerstore thin init`',
        cause: error,
      });
    }
  }
}
