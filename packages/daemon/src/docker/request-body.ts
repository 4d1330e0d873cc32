import type { IncomingMessage } from 'node:http';
import { StoreError } from '@layerstore/core';

/** Far beyond an `Init` with the largest possible id maps. */
const LIMIT = 1024 * 1024;

/**
 * The whole body of a call.
 * @throws StoreError ERR_LIMIT_EXCEEDED over 1 MiB; ERR_ABORTED when the engine went away before its end
 */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= LIMIT) chunks.push(chunk);
      else reject(new StoreError('ERR_LIMIT_EXCEEDED', `the body exceeds ${LIMIT} bytes`));
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('close', () => reject(new StoreError('ERR_ABORTED', 'the engine went away while it sent a request')));
  });
}
