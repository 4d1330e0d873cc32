import { malformed } from './malformed.js';
import { parseHash, startHash, type ContentHash } from './content-hash.js';

/**
 * A text with its hash and a signature over the hash, the form of manifests and whitelists:
 * `TEXT--\nHEX\nSIGNATURE`. The signature is binary and reaches to the end.
 */
export interface SignedText {
  /** Everything before `--`, with the last newline. */
  readonly text: Buffer;
  /** The line that is signed: the hash of `text` in hex. */
  readonly hashText: string;
  readonly hash: ContentHash;
  readonly signature: Buffer;
}

const SEPARATOR = Buffer.from('\n--\n', 'latin1');

/**
 * Takes a signed text apart and checks that the hash is the text's.
 * @throws StoreError ERR_MALFORMED_REPOSITORY
 */
export function parseSignedText(document: Buffer, subject: string): SignedText {
  const at = document.indexOf(SEPARATOR);
  const end = at < 0 ? -1 : document.indexOf(0x0a, at + SEPARATOR.length);
  if (end < 0) throw malformed(subject, 'it has no signature');
  const text = document.subarray(0, at + 1);
  const hashText = document.toString('latin1', at + SEPARATOR.length, end);
  const hash = parseHash(hashText);
  if (hash === undefined) throw malformed(subject, 'what is signed is not a hash');
  if (startHash(hash.algorithm).update(text).digest('hex') !== hash.hex) {
    throw malformed(subject, 'the text is not the one that was signed');
  }
  return { text, hashText, hash, signature: document.subarray(end + 1) };
}

/** The reverse of {@link parseSignedText}. */
export function serialiseSignedText(text: Buffer, hashText: string, signature: Buffer): Buffer {
  return Buffer.concat([text, Buffer.from(`--\n${hashText}\n`, 'latin1'), signature]);
}
