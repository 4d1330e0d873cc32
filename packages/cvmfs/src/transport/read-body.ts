import { StoreError } from '@layerstore/core';
import type { HttpAnswer } from './http-transport.js';
import { UnacceptableAnswer } from './source-failure.js';

/** Reads a small answer. @throws UnacceptableAnswer about ERR_LIMIT_EXCEEDED, ERR_TRUNCATED */
export async function readBody(answer: HttpAnswer, subject: string, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of boundedBody(answer, subject, limit)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The body of an answer, given up once it is longer than it may be: a server may send for ever. */
export async function* boundedBody(answer: HttpAnswer, subject: string, limit: number): AsyncGenerator<Buffer, void> {
  const tooLong = (): UnacceptableAnswer =>
    new UnacceptableAnswer(new StoreError('ERR_LIMIT_EXCEEDED', `more than ${limit} bytes were sent`, { subject }));
  if ((answer.length ?? 0) > limit) throw tooLong();
  let size = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) throw tooLong();
      yield chunk;
    }
  } catch (error) {
    // Node's word for a connection that closed before all was there.
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET' || size === 0) throw error;
    throw new UnacceptableAnswer(
      new StoreError('ERR_TRUNCATED', `the connection broke after ${size} bytes`, { subject, cause: error }),
    );
  }
}
