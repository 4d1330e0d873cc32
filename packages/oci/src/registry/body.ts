import { StoreError } from '@layerstore/core';
import { brokenBody } from './connection-failure.js';
import type { HttpResponse } from './transport.js';

export interface ReadLimits {
  /** Bytes. */
  readonly limit: number;
  /** Milliseconds for all of it: a document that trickles in is no document. */
  readonly within: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a small body to its end.
 * @param what leads an error: `manifest of debian:12`
 * @throws StoreError ERR_LIMIT_EXCEEDED before more than the limit is in memory; ERR_REGISTRY_UNREACHABLE; ERR_ABORTED
 */
export async function readBody(response: HttpResponse, what: string, limits: ReadLimits): Promise<Buffer> {
  const { body, url } = response;
  const tooLarge = (size: string): StoreError =>
    new StoreError('ERR_LIMIT_EXCEEDED', `${size} bytes, the limit is ${limits.limit}`, { subject: what });
  const announced = Number(response.header('content-length') ?? 0);
  const late = setTimeout(() => body.destroy(new Error(`not complete after ${limits.within / 1000} s`)), limits.within);
  try {
    if (announced > limits.limit) throw tooLarge(String(announced));
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limits.limit) throw tooLarge(`more than ${limits.limit}`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw StoreError.is(error) ? error : brokenBody(error, url, limits.signal);
  } finally {
    clearTimeout(late);
    body.destroy();
  }
}

/** Lets go of a body that nobody wants, keeping the connection where that is cheap. */
export function dropBody(response: HttpResponse): void {
  if (Number(response.header('content-length') ?? Infinity) <= 64 * 1024) response.body.resume();
  else response.body.destroy();
}
