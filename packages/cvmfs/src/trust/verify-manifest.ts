import { verify, X509Certificate } from 'node:crypto';
import { isBlacklisted, type Blacklist } from '../format/blacklist.js';
import { isSameHash } from '../format/content-hash.js';
import { fingerprintOf } from '../format/fingerprint.js';
import { parseManifest, type Manifest } from '../format/manifest.js';
import { parseSignedText } from '../format/signed-text.js';
import type { Whitelist } from '../format/whitelist.js';
import { rolledBack } from './roll-back.js';
import { untrusted } from './untrusted.js';

/** A manifest whose text has the hash that it says, and whose signature nobody has looked at. */
export function readManifest(document: Buffer, repository: string): Manifest {
  const manifest = parseManifest(parseSignedText(document, `${repository}: manifest`).text, `${repository}: manifest`);
  if (manifest.name !== repository) throw untrusted(repository, 'the manifest is for another repository');
  return manifest;
}

export interface ManifestTrust {
  readonly repository: string;
  /** PEM, as the certificate object has it. */
  readonly certificate: Buffer;
  readonly whitelist: Whitelist;
  readonly blacklist: Blacklist;
}

/**
 * Checks that a manifest is signed by a certificate that the whitelist names and the blacklist does not, and that its revision is not
 * blacklisted. The signature is RSA with SHA-1 over the text of the hash, whatever algorithm the hash is of.
 * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_REPOSITORY_UNTRUSTED, ERR_REPOSITORY_ROLLED_BACK
 */
export function verifyManifest(document: Buffer, trust: ManifestTrust): Manifest {
  const { repository, whitelist, blacklist } = trust;
  const manifest = readManifest(document, repository);
  const certificate = parseCertificate(trust.certificate, repository);
  const isListed = whitelist.fingerprints.some(({ fingerprint }) =>
    isSameHash(fingerprint, fingerprintOf(certificate, fingerprint.algorithm)),
  );
  if (!isListed) throw untrusted(repository, 'its certificate is not on the whitelist');
  const algorithms = ['sha1', 'rmd160', 'shake128'] as const;
  if (algorithms.some((algorithm) => isBlacklisted(blacklist, fingerprintOf(certificate, algorithm)))) {
    throw untrusted(repository, 'its certificate is blacklisted', 'ask whoever keeps the blacklist of this machine');
  }
  const { hashText, signature } = parseSignedText(document, `${repository}: manifest`);
  if (!isSignature(hashText, certificate, signature)) throw untrusted(repository, 'the manifest has a wrong signature');
  checkFloor(manifest.revision, repository, blacklist);
  return manifest;
}

/** @throws StoreError ERR_REPOSITORY_ROLLED_BACK for a revision that the blacklist does not allow any more */
export function checkFloor(revision: number, repository: string, { revisionFloors }: Blacklist): void {
  const floor = revisionFloors.get(repository) ?? 0;
  if (revision < floor) throw rolledBack(repository, `revision ${revision} is blacklisted, all below ${floor} are`);
}

function parseCertificate(pem: Buffer, repository: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw untrusted(repository, 'its certificate cannot be read', undefined, cause);
  }
}

function isSignature(text: string, { publicKey }: X509Certificate, signature: Buffer): boolean {
  if (publicKey.asymmetricKeyType !== 'rsa') return false;
  return verify('RSA-SHA1', Buffer.from(text, 'latin1'), publicKey, signature);
}
