import { constants, privateEncrypt, sign, X509Certificate } from 'node:crypto';
import { formatHash, hashBytes } from '../format/content-hash.js';
import { fingerprintOf } from '../format/fingerprint.js';
import { serialiseManifest, type Manifest } from '../format/manifest.js';
import { serialiseSignedText } from '../format/signed-text.js';
import { serialiseWhitelist } from '../format/whitelist.js';
import type { PublisherKeys } from './publisher-keys.js';

/** The bytes of `.cvmfspublished`: RSA with SHA-1 over the text of the hash, the only form that clients accept. */
export function signManifest(manifest: Manifest, keys: PublisherKeys): Buffer {
  const text = serialiseManifest(manifest);
  const hashText = formatHash(hashBytes('sha1', text));
  return serialiseSignedText(text, hashText, sign('RSA-SHA1', Buffer.from(hashText, 'latin1'), keys.signingKey));
}

/** The bytes of `.cvmfswhitelist`, for the certificate of the repository: a raw PKCS#1 block around the text of the hash. */
export function signWhitelist(keys: PublisherKeys, createdAt: Date, expiresAt: Date): Buffer {
  const fingerprint = fingerprintOf(new X509Certificate(keys.certificate), 'sha1');
  const fingerprints = [{ fingerprint, comment: keys.repository }];
  const text = serialiseWhitelist({ name: keys.repository, createdAt, expiresAt, fingerprints });
  const hashText = formatHash(hashBytes('sha1', text));
  const block = { key: keys.masterKey, padding: constants.RSA_PKCS1_PADDING };
  return serialiseSignedText(text, hashText, privateEncrypt(block, Buffer.from(hashText, 'latin1')));
}
