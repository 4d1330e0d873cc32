import { StoreError, type Digest } from '@layerstore/core';
import { errorAbout } from '../error-about.js';
import { Backoff } from './backoff.js';
import { dropBody } from './body.js';
import { isPassing } from './connection-failure.js';
import type { RequestOptions } from './manifests.js';
import type { Repository } from './repository.js';
import type { HttpResponse, SentBody } from './transport.js';

/** A blob to be stored in a registry. */
export interface UploadedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** The bytes from `start` on. */
  open(start: number): ReturnType<SentBody['open']>;
}

/** An upload that a registry waits for: where the bytes go. */
export type UploadSession = URL;

/**
 * Asks for a blob of another repository of the same registry, so that nothing has to be sent (OCI distribution-spec, "Mounting a blob from
 * another repository").
 * @param from path of the repository that has it
 * @returns `mounted`, or the session that the registry opened instead
 * @throws StoreError as {@link Repository.call}
 */
export async function mountBlob(
  repository: Repository,
  digest: Digest,
  from: string,
  subject: string,
  options: RequestOptions,
): Promise<'mounted' | UploadSession> {
  const query = new URLSearchParams({ mount: digest, from });
  const response = await repository.call({
    method: 'POST',
    path: `blobs/uploads/?${query.toString()}`,
    scope: { alsoFrom: from },
    accept: [201, 202],
    subject,
    ...options,
  });
  dropBody(response);
  return response.status === 201 ? 'mounted' : sessionOf(response, subject);
}

/**
 * Stores a blob; goes on where a connection broke, if the registry says how much it has.
 * @param session one that {@link mountBlob} left; default: a new one
 * @throws StoreError as {@link Repository.call}; ERR_DIGEST_MISMATCH when the registry found other bytes
 */
export async function uploadBlob(
  repository: Repository,
  blob: UploadedBlob,
  subject: string,
  options: RequestOptions,
  session?: UploadSession,
): Promise<void> {
  const backoff = new Backoff(repository.patience, options.signal, options.onPause);
  let place = session;
  let start = 0;
  for (;;) {
    place ??= await startUpload(repository, subject, options);
    try {
      await sendRest(repository, blob, place, start, subject, options);
      return;
    } catch (error) {
      if (!isPassing(error) || backoff.isExhausted) throw errorAbout(error, subject);
      await backoff.pause((error as Error).message, undefined);
    }
    const kept = await askProgress(repository, place, subject, options);
    place = kept?.place;
    start = kept === undefined ? 0 : Math.min(kept.size, blob.size);
  }
}

async function startUpload(repository: Repository, subject: string, options: RequestOptions): Promise<UploadSession> {
  const response = await repository.call({
    method: 'POST',
    path: 'blobs/uploads/',
    scope: 'push',
    accept: [202],
    subject,
    ...options,
  });
  dropBody(response);
  return sessionOf(response, subject);
}

/** In one request from the start; the rest of a broken one has to be added to it before it can be closed. */
async function sendRest(
  repository: Repository,
  blob: UploadedBlob,
  place: UploadSession,
  start: number,
  subject: string,
  options: RequestOptions,
): Promise<void> {
  const common = { scope: 'push' as const, subject, attempts: 'once' as const, ...options };
  const body = { length: blob.size - start, type: 'application/octet-stream', open: () => blob.open(start) };
  if (start === 0) {
    dropBody(
      await repository.call({ ...common, method: 'PUT', path: closing(place, blob.digest), accept: [201, 204], body }),
    );
    return;
  }
  const headers = { 'content-range': `${start}-${blob.size - 1}` };
  const added =
    start === blob.size
      ? undefined
      : await repository.call({ ...common, method: 'PATCH', path: place, accept: [202, 204], body, headers });
  if (added !== undefined) dropBody(added);
  const last = added === undefined ? place : sessionOf(added, subject);
  const nothing = { length: 0, type: 'application/octet-stream', open: () => Buffer.alloc(0) };
  dropBody(
    await repository.call({
      ...common,
      method: 'PUT',
      path: closing(last, blob.digest),
      accept: [201, 204],
      body: nothing,
    }),
  );
}

/** How much of an upload has arrived; undefined when the registry has dropped it. */
async function askProgress(
  repository: Repository,
  place: UploadSession,
  subject: string,
  options: RequestOptions,
): Promise<{ place: UploadSession; size: number } | undefined> {
  const response = await repository.call({
    method: 'GET',
    path: place,
    scope: 'push',
    accept: [200, 204, 400, 404, 405, 416],
    subject,
    attempts: 'also-when-refused',
    ...options,
  });
  dropBody(response);
  const range = /^(?:bytes=)?0-(\d+)$/.exec(response.header('range') ?? '');
  if (response.status > 204 || range === null || response.header('location') === undefined) return undefined;
  // Registries say `0-0` for nothing as well as for one byte: nothing is the safe reading.
  const size = Number(range[1]) === 0 ? 0 : Number(range[1]) + 1;
  return size === 0 ? undefined : { place: sessionOf(response, subject), size };
}

function sessionOf(response: HttpResponse, subject: string): UploadSession {
  const location = response.header('location');
  if (location === undefined || !URL.canParse(location, response.url.href)) {
    throw new StoreError('ERR_REGISTRY_FAILED', 'the registry does not say where to send a blob', { subject });
  }
  return new URL(location, response.url);
}

function closing(place: UploadSession, digest: Digest): URL {
  const url = new URL(place);
  url.searchParams.set('digest', digest);
  return url;
}
