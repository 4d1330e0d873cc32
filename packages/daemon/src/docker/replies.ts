import type { ServerResponse } from 'node:http';
import type { StoreError } from '@layerstore/core';

const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

/** Answers a call; an empty object is all that most calls get. */
export function replyJson(response: ServerResponse, value: Readonly<Record<string, unknown>>, status = 200): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, { 'content-type': CONTENT_TYPE, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/**
 * Answers with what went wrong, as the engine shows it to its user. Where the answer has begun, the connection is broken
 * instead: an archive that ends as usual counts as whole.
 */
export function replyError(response: ServerResponse, error: StoreError): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const text = error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
  replyJson(response, { Err: text }, error.class.http);
}
