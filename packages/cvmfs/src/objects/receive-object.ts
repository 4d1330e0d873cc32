import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createInflate, inflate } from 'node:zlib';
import { fromSystemError, StoreError } from '@layerstore/core';
import { formatHash, startHash } from '../format/content-hash.js';
import type { ObjectReference } from '../format/object-reference.js';
import type { HttpAnswer } from '../transport/http-transport.js';
import { boundedBody } from '../transport/read-body.js';
import { UnacceptableAnswer } from '../transport/source-failure.js';

const inflateBuffer = promisify(inflate);

/** Up to here an object is handled in one piece, which is faster; above it flows. */
const IN_MEMORY = 1024 * 1024;
const STREAM_CHUNK = 1024 * 1024;

export interface ReceivedObject {
  /** Bytes of the decompressed content. */
  readonly size: number;
  /** SHA-256 of the decompressed content, hex. */
  readonly digest: string;
}

/**
 * Writes the decompressed content of an object to a new file.
 * @param limit bytes that it may have after decompression where the reference does not say
 * @throws UnacceptableAnswer for bytes that are not the object's
 * @throws StoreError ERR_SIZE_MISMATCH, ERR_MALFORMED_REPOSITORY for the right bytes that are not what the reference says; ERR_NO_SPACE, ERR_IO
 */
export async function receiveObject(
  answer: HttpAnswer,
  object: ObjectReference,
  limit: number,
  path: string,
): Promise<ReceivedObject> {
  const expected = object.size ?? limit;
  const body = boundedBody(answer, nameOf(object), storedLimit(expected, object));
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await body.next();
    if (done === true) return await receiveWhole(Buffer.concat(chunks), object, expected, path);
    chunks.push(value);
    size += value.length;
    if (size > IN_MEMORY) return await receiveFlow(chunks, body, object, expected, path);
  }
}

/** What zlib adds to data that does not compress (zlib's deflateBound), and some more for foreign encoders. */
function storedLimit(size: number, { compression }: ObjectReference): number {
  return compression === 'none' ? size : size + Math.ceil(size / 64) + 64 * 1024;
}

async function receiveWhole(
  stored: Buffer,
  object: ObjectReference,
  limit: number,
  path: string,
): Promise<ReceivedObject> {
  const { algorithm, hex } = object.hash;
  if (startHash(algorithm).update(stored).digest('hex') !== hex) throw damaged(object);
  const content = object.compression === 'none' ? stored : await inflated(stored, object, limit);
  checkSize(content.length, object);
  try {
    await writeFile(path, content, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    throw fromSystemError(error, path);
  }
  return { size: content.length, digest: createHash('sha256').update(content).digest('hex') };
}

async function inflated(stored: Buffer, object: ObjectReference, limit: number): Promise<Buffer> {
  try {
    // Zero is no limit that zlib knows.
    return await inflateBuffer(stored, { maxOutputLength: Math.max(limit, 1) });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(object, limit);
    throw new StoreError('ERR_MALFORMED_REPOSITORY', 'the object is not compressed as the catalog says', {
      subject: nameOf(object),
      cause,
    });
  }
}

async function receiveFlow(
  first: readonly Buffer[],
  rest: AsyncGenerator<Buffer, void>,
  object: ObjectReference,
  limit: number,
  path: string,
): Promise<ReceivedObject> {
  const storedHash = startHash(object.hash.algorithm);
  const digest = createHash('sha256');
  let size = 0;
  async function* stored(): AsyncGenerator<Buffer, void> {
    for (const chunk of first) {
      storedHash.update(chunk);
      yield chunk;
    }
    for await (const chunk of rest) {
      storedHash.update(chunk);
      yield chunk;
    }
  }
  async function* counted(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
    for await (const chunk of content) {
      size += chunk.length;
      // Its hash is known only at the end: until then the sender is suspected, not the catalog.
      if (size > limit) throw new UnacceptableAnswer(tooLarge(object, limit));
      digest.update(chunk);
      yield chunk;
    }
  }
  const target = createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: STREAM_CHUNK });
  try {
    if (object.compression === 'none') await pipeline(stored, counted, target);
    else await pipeline(stored, createInflate({ chunkSize: STREAM_CHUNK }), counted, target);
  } catch (error) {
    const { code = '', syscall = '' } = error as NodeJS.ErrnoException;
    if (/^(open|write|close)$/.test(syscall)) throw fromSystemError(error, path);
    throw code.startsWith('Z_') ? damaged(object, error) : error;
  }
  if (storedHash.digest('hex') !== object.hash.hex) throw damaged(object);
  checkSize(size, object);
  return { size, digest: digest.digest('hex') };
}

function checkSize(size: number, object: ObjectReference): void {
  if (object.size === undefined || object.size === size) return;
  throw new StoreError('ERR_SIZE_MISMATCH', `it has ${size} bytes, the catalog says ${object.size}`, {
    subject: nameOf(object),
    hint: 'tell whoever publishes the repository',
  });
}

function tooLarge(object: ObjectReference, limit: number): StoreError {
  const code = object.size === undefined ? 'ERR_LIMIT_EXCEEDED' : 'ERR_SIZE_MISMATCH';
  return new StoreError(code, `it has more than ${limit} bytes`, { subject: nameOf(object) });
}

function damaged(object: ObjectReference, cause?: unknown): UnacceptableAnswer {
  const reason = 'what was sent does not have the hash that it was asked for by';
  return new UnacceptableAnswer(new StoreError('ERR_DIGEST_MISMATCH', reason, { subject: nameOf(object), cause }));
}

const nameOf = ({ kind, hash }: ObjectReference): string => `${kind} ${formatHash(hash)}`;
