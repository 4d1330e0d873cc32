import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { hasErrno, nativeSyscalls } from '@layerstore/linux';

/** Where the SHA-256 of a cached content is kept: what the server's hash covers, the compressed bytes, is not kept. */
const ATTRIBUTE = Buffer.from('user.layerstore.sha256');
const CHUNK = 1024 * 1024;

/** Notes the digest of a file. On a file system without extended attributes there is none, and after a restart such files are fetched anew. */
export function noteDigest(path: string, digest: string): void {
  try {
    nativeSyscalls().setXattr(path, ATTRIBUTE, Buffer.from(digest, 'latin1'));
  } catch (error) {
    if (!hasErrno(error, 'ENOTSUP')) throw error;
  }
}

/** Whether the content of a file is the one that was noted; `unknown` without a note. */
export async function compareDigest(path: string): Promise<'equal' | 'different' | 'unknown'> {
  const noted = readNote(path);
  if (noted === undefined) return 'unknown';
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: CHUNK }), hash);
  return hash.digest('hex') === noted ? 'equal' : 'different';
}

function readNote(path: string): string | undefined {
  try {
    return nativeSyscalls().getXattr(path, ATTRIBUTE)?.toString('latin1');
  } catch (error) {
    if (hasErrno(error, 'ENOTSUP')) return undefined;
    throw error;
  }
}
