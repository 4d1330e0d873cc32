import type { ContentHash } from './content-hash.js';
import { formatFingerprint, parseFingerprint } from './fingerprint.js';
import { malformed } from './malformed.js';

/** The unsigned text of `.cvmfswhitelist`: who may sign the repository, until when. */
export interface Whitelist {
  readonly name: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Fingerprints of certificates, each with the comment behind it. */
  readonly fingerprints: readonly WhitelistedCertificate[];
}

export interface WhitelistedCertificate {
  readonly fingerprint: ContentHash;
  readonly comment: string;
}

export const WHITELIST_LIMIT = 1024 * 1024;

/**
 * Reads the text in front of a whitelist's signature.
 * Lines `V` and `W` announce further signatures, which do not replace the one of the master key.
 * @throws StoreError ERR_MALFORMED_REPOSITORY
 */
export function parseWhitelist(text: Buffer, subject: string): Whitelist {
  const [created = '', ...lines] = text.toString('latin1').split('\n');
  let name: string | undefined;
  let expiresAt: Date | undefined;
  const fingerprints: WhitelistedCertificate[] = [];
  for (const line of lines) {
    const [, word = '', comment = ''] = /^(\S*)\s*#?\s*(.*)$/.exec(line) ?? [];
    const fingerprint = parseFingerprint(word);
    if (fingerprint !== undefined) fingerprints.push({ fingerprint, comment });
    else if (line.startsWith('E')) expiresAt = parseTime(line.slice(1), subject);
    else if (line.startsWith('N')) name = line.slice(1);
  }
  if (name === undefined || expiresAt === undefined) throw malformed(subject, 'it has no name or no expiry');
  return { name, createdAt: parseTime(created, subject), expiresAt, fingerprints };
}

/** The text to be signed. */
export function serialiseWhitelist({ name, createdAt, expiresAt, fingerprints }: Whitelist): Buffer {
  const lines = [
    formatTime(createdAt),
    `E${formatTime(expiresAt)}`,
    `N${name}`,
    ...fingerprints.map(
      ({ fingerprint, comment }) => formatFingerprint(fingerprint) + (comment === '' ? '' : ` # ${comment}`),
    ),
  ];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
}

/** `20261120232718`, in UTC. */
function parseTime(text: string, subject: string): Date {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text) ?? [];
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(date.getTime())) throw malformed(subject, 'its times cannot be read');
  return date;
}

function formatTime(date: Date): string {
  return date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace(/\D/g, '');
}
