import { constants, createPublicKey, publicDecrypt, type KeyObject } from 'node:crypto';
import { StoreError } from '@layerstore/core';
import { parseSignedText, type SignedText } from '../format/signed-text.js';
import { parseWhitelist, type Whitelist } from '../format/whitelist.js';
import { untrusted } from './untrusted.js';

const HOUR = 3_600_000;

/** @throws StoreError ERR_INVALID_ARGUMENT for what is no public RSA key */
export function parseMasterKey(pem: string, subject: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'a master key is not a public key in PEM', { subject, cause });
  }
  if (key.asymmetricKeyType === 'rsa') return key;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'a master key is not an RSA key', { subject });
}

/**
 * Reads a whitelist and checks that one of the master keys signed it, for this repository. Whether it has expired is a question of its own:
 * {@link checkExpiry}.
 * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_REPOSITORY_UNTRUSTED
 */
export function verifyWhitelist(document: Buffer, repository: string, masterKeys: readonly KeyObject[]): Whitelist {
  const signed = parseSignedText(document, `${repository}: whitelist`);
  if (!masterKeys.some((key) => isSignedBy(signed, key))) {
    throw untrusted(repository, 'the whitelist is signed by none of the master keys');
  }
  const whitelist = parseWhitelist(signed.text, `${repository}: whitelist`);
  if (whitelist.name !== repository) throw untrusted(repository, 'the whitelist is for another repository');
  return whitelist;
}

/**
 * Expiry counts by the hour, as with the standard client: to the end of the hour that it falls into.
 * @param now milliseconds since 1970
 * @throws StoreError ERR_REPOSITORY_UNTRUSTED
 */
export function checkExpiry({ expiresAt }: Whitelist, repository: string, now: number): void {
  if (Math.floor(now / HOUR) <= Math.floor(expiresAt.getTime() / HOUR)) return;
  throw untrusted(repository, `the whitelist has expired on ${expiresAt.toISOString()}`);
}

/** A raw PKCS#1 block of type 1 around the text of the hash, without an algorithm identifier. */
function isSignedBy({ hashText, signature }: SignedText, key: KeyObject): boolean {
  try {
    return publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature).toString('latin1') === hashText;
  } catch {
    // What another key signed does not have the form of a block.
    return false;
  }
}
