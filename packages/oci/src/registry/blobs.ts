import type { Readable } from 'node:stream';
import { digestOf, StoreError, type Digest } from '@layerstore/core';
import type { BlobReference, Descriptor } from '../descriptor.js';
import { DOCUMENT_LIMIT } from '../document.js';
import { errorAbout } from '../error-about.js';
import { Backoff } from './backoff.js';
import { dropBody, readBody } from './body.js';
import { brokenBody, isPassing } from './connection-failure.js';
import type { RequestOptions } from './manifests.js';
import type { Repository } from './repository.js';
import type { HttpResponse } from './transport.js';

/**
 * Reads a small blob, such as a config.
 * @throws StoreError as {@link Repository.call}; ERR_SIZE_MISMATCH, ERR_DIGEST_MISMATCH, ERR_LIMIT_EXCEEDED above DOCUMENT_LIMIT
 */
export async function fetchSmallBlob(
  repository: Repository,
  blob: BlobReference,
  subject: string,
  options: RequestOptions,
): Promise<Buffer> {
  const about = `${subject}: ${blob.digest}`;
  if (blob.size > DOCUMENT_LIMIT) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `${blob.size} bytes, the limit is ${DOCUMENT_LIMIT}`, {
      subject: about,
    });
  }
  const response = await getBlob(repository, blob.digest, {}, about, options);
  const within = 5 * repository.patience.stall;
  const bytes = await readBody(response, about, { limit: DOCUMENT_LIMIT, within, signal: options.signal });
  if (bytes.length !== blob.size) {
    throw new StoreError('ERR_SIZE_MISMATCH', `${bytes.length} bytes, ${blob.size} are stated`, { subject: about });
  }
  const digest = digestOf(bytes);
  if (digest === blob.digest) return bytes;
  throw new StoreError('ERR_DIGEST_MISMATCH', `the registry gave a blob with the digest ${digest}`, { subject: about });
}

/** True when the repository has the blob. @throws StoreError as {@link Repository.call} */
export async function hasBlob(
  repository: Repository,
  digest: Digest,
  subject: string,
  options: RequestOptions,
): Promise<boolean> {
  const response = await repository.call({
    method: 'HEAD',
    path: `blobs/${digest}`,
    scope: 'push',
    accept: [200, 404],
    subject,
    ...options,
  });
  dropBody(response);
  return response.status === 200;
}

/** Where the bytes of a blob go, in order. */
export interface BlobSink {
  /** Bytes that are there already; the next ones go behind them. */
  readonly position: number;
  /** Resolves when the next chunk may come. @throws StoreError ERR_NO_SPACE, ERR_IO */
  write(chunk: Buffer): Promise<void>;
}

/** Bytes of a blob within one stall time, below which a connection counts as broken. */
const LEAST_PROGRESS = 1024;
/** Bytes after which earlier failures do not count any more. */
const REAL_PROGRESS = 1024 * 1024;

/**
 * Brings the rest of a blob into a sink, going on by ranges where a connection broke. The bytes are not verified: only whoever has all of
 * them can do that, also those that were there before.
 * @throws StoreError as {@link Repository.call}; ERR_SIZE_MISMATCH when the registry has more or fewer bytes than `size` says
 */
export async function downloadBlob(
  repository: Repository,
  blob: Descriptor,
  sink: BlobSink,
  subject: string,
  options: RequestOptions,
): Promise<void> {
  const backoff = new Backoff(repository.patience, options.signal, options.onPause);
  while (sink.position < blob.size) {
    const start = sink.position;
    const response = await openBlob(repository, blob, start, subject, options);
    try {
      await pour(response, blob.size, sink, subject, { stall: repository.patience.stall, signal: options.signal });
    } catch (error) {
      if (sink.position - start >= REAL_PROGRESS) backoff.reset();
      if (!isPassing(error) || backoff.isExhausted) throw errorAbout(error, subject);
      await backoff.pause((error as Error).message, undefined);
    }
  }
}

/** A blob from `start` on. Foreign layers may lie elsewhere, at the places that their descriptor names. */
async function openBlob(
  repository: Repository,
  blob: Descriptor,
  start: number,
  subject: string,
  options: RequestOptions,
): Promise<HttpResponse> {
  const headers: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` };
  const places: (string | URL)[] = [`blobs/${blob.digest}`, ...(blob.urls ?? []).flatMap(webAddress)];
  for (const [at, path] of places.entries()) {
    const isLast = at === places.length - 1;
    const accept = [200, 206, ...(isLast ? [] : [404])];
    const response = await repository.call({
      method: 'GET',
      path,
      scope: 'pull',
      accept,
      headers,
      subject,
      // A registry that is restarted in the middle of a blob refuses connections for a while.
      attempts: start === 0 ? 'several' : 'also-when-refused',
      ...options,
    });
    if (response.status !== 404) {
      checkRange(response, start, blob.size, subject);
      return response;
    }
    dropBody(response);
  }
  throw new StoreError('ERR_INTERNAL', 'a blob has no place', { subject });
}

function webAddress(text: string): URL[] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && (url.protocol === 'https:' || url.protocol === 'http:') ? [url] : [];
}

function getBlob(
  repository: Repository,
  digest: Digest,
  headers: Readonly<Record<string, string>>,
  subject: string,
  options: RequestOptions,
): Promise<HttpResponse> {
  return repository.call({
    method: 'GET',
    path: `blobs/${digest}`,
    scope: 'pull',
    accept: [200],
    headers,
    subject,
    ...options,
  });
}

/** A registry that answers with another run of bytes than was asked for would damage what is there. */
function checkRange(response: HttpResponse, start: number, size: number, subject: string): void {
  const wrong = (reason: string): StoreError => {
    response.body.destroy();
    return new StoreError('ERR_REGISTRY_FAILED', reason, {
      subject,
      hint: 'try again; a proxy before the registry may be at fault',
    });
  };
  if (response.status === 206) {
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.header('content-range') ?? '');
    if (range === null || Number(range[1]) !== start) throw wrong('the registry gave another range than was asked for');
    if (range[3] !== '*' && Number(range[3]) !== size) throw wrongSize(Number(range[3]), size, subject, response);
    return;
  }
  const announced = response.header('content-length');
  if (announced !== undefined && Number(announced) !== size)
    throw wrongSize(Number(announced), size, subject, response);
}

function wrongSize(found: number, size: number, subject: string, response: HttpResponse): StoreError {
  response.body.destroy();
  return new StoreError('ERR_SIZE_MISMATCH', `the registry has ${found} bytes, the manifest states ${size}`, {
    subject,
  });
}

async function pour(
  response: HttpResponse,
  size: number,
  sink: BlobSink,
  subject: string,
  { stall, signal }: { stall: number; signal: AbortSignal | undefined },
): Promise<void> {
  const { body, url } = response;
  // A server that does not know ranges begins again: what is there already is passed over.
  let skip = response.status === 206 ? 0 : sink.position;
  const watch = watchProgress(body, stall);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      watch.moved(chunk.length);
      const fresh = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - fresh.length;
      if (sink.position + fresh.length > size) throw wrongSize(sink.position + fresh.length, size, subject, response);
      if (fresh.length > 0) await sink.write(fresh);
    }
  } catch (error) {
    throw StoreError.is(error) ? error : brokenBody(error, url, signal);
  } finally {
    watch.end();
    body.destroy();
  }
  if (sink.position >= size) return;
  throw brokenBody(Object.assign(new Error('the connection ended too early'), { code: 'ECONNRESET' }), url, signal);
}

/** A byte now and then keeps a socket from timing out and would hold a pull for ever. */
function watchProgress(body: Readable, stall: number): { moved(bytes: number): void; end(): void } {
  let bytes = LEAST_PROGRESS;
  const timer = setInterval(() => {
    if (bytes < LEAST_PROGRESS) {
      body.destroy(
        Object.assign(new Error(`fewer than ${LEAST_PROGRESS} bytes in ${stall / 1000} s`), { code: 'ETIMEDOUT' }),
      );
    }
    bytes = 0;
  }, stall);
  return {
    moved: (count) => {
      bytes += count;
    },
    end: () => clearInterval(timer),
  };
}
