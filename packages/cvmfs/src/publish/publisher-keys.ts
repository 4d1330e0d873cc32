import { createPrivateKey, generateKeyPair, X509Certificate, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno, writeFileDurably } from '@layerstore/linux';
import { checkRepositoryName } from '../format/repository-name.js';
import { parseMasterKey } from '../trust/verify-whitelist.js';

const KEY_BITS = 2048;
const PRIVATE = 0o600;
const PUBLIC = 0o644;

/**
 * The keys of a repository in a directory, under the names that the standard tools use:
 *
 *     NAME.masterkey   private, signs the whitelist; may be kept elsewhere between renewals
 *     NAME.pub         public master key, which clients are configured with
 *     NAME.key         private, signs manifests
 *     NAME.crt         certificate of it
 */
export class PublisherKeys {
  /** @throws StoreError ERR_INVALID_ARGUMENT for what is no name of a repository */
  constructor(
    readonly directory: string,
    readonly repository: string,
  ) {
    checkRepositoryName(repository);
  }

  /**
   * Makes keys and certificate: RSA of 2048 bits, private ones with mode 0600. The directory is made, 0700, where it is missing.
   * @throws StoreError ERR_EXISTS when any of the files is there: keys are never overwritten
   * @throws StoreError ERR_IO, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_READ_ONLY
   */
  static async make(directory: string, repository: string, now = new Date()): Promise<PublisherKeys> {
    const keys = new PublisherKeys(directory, repository);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromSystemError(error, directory);
    }
    const found = (['masterkey', 'pub', 'key', 'crt'] as const).map((kind) => keys.#path(kind)).find(existsSync);
    if (found !== undefined) {
      throw new StoreError('ERR_EXISTS', 'there is a key of this repository', {
        subject: found,
        hint: 'use these keys, or another directory; a repository whose keys are lost cannot be published again',
      });
    }
    const { makeCertificate } = await import('./make-certificate.js');
    const [master, own] = await Promise.all([newKey(), newKey()]);
    writeFileDurably(keys.#path('masterkey'), pkcs8(master.privateKey), PRIVATE);
    writeFileDurably(keys.#path('pub'), master.publicKey.export({ type: 'spki', format: 'pem' }), PUBLIC);
    writeFileDurably(keys.#path('key'), pkcs8(own.privateKey), PRIVATE);
    writeFileDurably(keys.#path('crt'), makeCertificate(own.privateKey, repository, now), PUBLIC);
    return keys;
  }

  /** @throws StoreError ERR_NOT_FOUND, ERR_INVALID_ARGUMENT */
  get masterKey(): KeyObject {
    return this.#privateKey('masterkey');
  }

  /** PEM. @throws StoreError ERR_NOT_FOUND, ERR_INVALID_ARGUMENT */
  get publicMasterKey(): string {
    const pem = this.#read('pub').toString('latin1');
    parseMasterKey(pem, this.#path('pub'));
    return pem;
  }

  /** Signs manifests. @throws StoreError ERR_NOT_FOUND, ERR_INVALID_ARGUMENT also for a key that is not the certificate's */
  get signingKey(): KeyObject {
    const key = this.#privateKey('key');
    if (new X509Certificate(this.certificate).checkPrivateKey(key)) return key;
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the key is not the one of the certificate', {
      subject: this.#path('key'),
    });
  }

  /** PEM. @throws StoreError ERR_NOT_FOUND, ERR_INVALID_ARGUMENT */
  get certificate(): Buffer {
    const pem = this.#read('crt');
    try {
      new X509Certificate(pem);
      return pem;
    } catch (cause) {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'not a certificate in PEM', { subject: this.#path('crt'), cause });
    }
  }

  #privateKey(kind: 'masterkey' | 'key'): KeyObject {
    const subject = this.#path(kind);
    let key: KeyObject;
    try {
      key = createPrivateKey(this.#read(kind));
    } catch (error) {
      if (StoreError.is(error)) throw error;
      throw new StoreError('ERR_INVALID_ARGUMENT', 'not a private key in PEM', { subject, cause: error });
    }
    if (key.asymmetricKeyType === 'rsa') return key;
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not an RSA key', { subject });
  }

  #read(kind: 'masterkey' | 'pub' | 'key' | 'crt'): Buffer {
    try {
      return readFileSync(this.#path(kind));
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw fromSystemError(error, this.#path(kind));
      throw new StoreError('ERR_NOT_FOUND', 'the key is not there', {
        subject: this.#path(kind),
        hint: 'name the directory that holds the keys of the repository',
        cause: error,
      });
    }
  }

  #path(kind: 'masterkey' | 'pub' | 'key' | 'crt'): string {
    return join(this.directory, `${this.repository}.${kind}`);
  }
}

const newKey = async (): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> =>
  promisify(generateKeyPair)('rsa', { modulusLength: KEY_BITS });

const pkcs8 = (key: KeyObject): string | Buffer => key.export({ type: 'pkcs8', format: 'pem' });
