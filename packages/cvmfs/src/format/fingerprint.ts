import type { X509Certificate } from 'node:crypto';
import { hashBytes, type ContentHash, type HashAlgorithm } from './content-hash.js';

/** Tails of fingerprints are written in capitals (`-RMD160`), those of objects are not. */
const tails: Readonly<Record<HashAlgorithm, string>> = { sha1: '', rmd160: '-RMD160', shake128: '-SHAKE128' };

/** `AA:BB:...`, 20 bytes, with an optional tail for the algorithm; undefined for anything else. */
export function parseFingerprint(text: string): ContentHash | undefined {
  const [, bytes, tail = ''] = /^((?:[0-9A-Fa-f]{2}:){19}[0-9A-Fa-f]{2})(-[A-Za-z0-9]+)?$/.exec(text) ?? [];
  const algorithm = (Object.keys(tails) as HashAlgorithm[]).find((name) => tails[name] === tail.toUpperCase());
  if (bytes === undefined || algorithm === undefined) return undefined;
  return { algorithm, hex: bytes.replaceAll(':', '').toLowerCase() };
}

export function formatFingerprint({ algorithm, hex }: ContentHash): string {
  return (hex.toUpperCase().match(/../g) ?? []).join(':') + tails[algorithm];
}

/** The fingerprint of a certificate: the hash of its DER form. */
export function fingerprintOf(certificate: X509Certificate, algorithm: HashAlgorithm): ContentHash {
  return hashBytes(algorithm, certificate.raw);
}
