import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fromSystemError, StoreError } from '@layerstore/core';
import type { Staging } from './staging.js';

/** Where an archive comes from: a file or directory, or a stream that is read once. */
export type Source = { readonly path: string } | { readonly stream: AsyncIterable<Uint8Array> };

/**
 * A path that can be read at any offset: the given one, or a copy of the stream in staging (an archive may name its layers
 * only at its end). Pipes and sockets given as paths are copied too.
 * @throws StoreError ERR_NOT_FOUND, ERR_NO_SPACE, ERR_IO, ERR_ABORTED
 */
export async function seekableSource(
  source: Source,
  staging: Staging,
  signal: AbortSignal | undefined,
): Promise<string> {
  if ('stream' in source) return spool(source.stream, staging, signal);
  let status;
  try {
    status = await stat(source.path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fromSystemError(error, source.path);
    throw new StoreError('ERR_NOT_FOUND', 'no such file or directory', { subject: source.path, cause: error });
  }
  if (status.isFile() || status.isDirectory()) return source.path;
  const { createReadStream } = await import('node:fs');
  return spool(createReadStream(source.path), staging, signal);
}

async function spool(
  stream: AsyncIterable<Uint8Array>,
  staging: Staging,
  signal: AbortSignal | undefined,
): Promise<string> {
  const path = staging.file('source');
  try {
    const readable = stream instanceof Readable ? stream : Readable.from(stream);
    await pipeline(
      readable,
      createWriteStream(path, { flags: 'wx', mode: 0o600 }),
      signal === undefined ? {} : { signal },
    );
  } catch (error) {
    throw fromSystemError(error, path);
  }
  return path;
}
