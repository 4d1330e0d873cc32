import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { StoreError } from '@layerstore/core';
import { Pipe } from './pipe.js';

/**
 * Leads the body of a request into a pipe for as long as `consume` reads there. The pipe ends only when the body has come to
 * its proper end; when the connection breaks, `consume` is cancelled while the pipe is still open, so what it got is never
 * taken for the whole.
 * @param consume is given the descriptor to read from
 * @returns what `consume` gives; the rest of a body that it did not read is passed over
 * @throws StoreError ERR_TRUNCATED for a body without a byte; ERR_ABORTED; what `consume` throws
 */
export async function consumeBody<Result>(
  request: IncomingMessage,
  consume: (fd: number, signal: AbortSignal) => Promise<Result>,
  count: (bytes: number) => void,
): Promise<Result> {
  await refuseEmpty(request);
  using pipe = Pipe.toThread();
  const controller = new AbortController();
  const broken = (): void => {
    if (!request.complete) controller.abort();
  };
  request.once('close', broken);
  if (request.destroyed) broken();
  request.on('data', (chunk: Buffer) => count(chunk.length));
  request.pipe(pipe.stream);
  try {
    return await consume(pipe.fd, controller.signal);
  } finally {
    request.off('close', broken);
    request.unpipe(pipe.stream);
    request.resume();
  }
}

/** An archive holds a block at least. What comes without any is the repetition of a request whose body is used up. */
async function refuseEmpty(request: IncomingMessage): Promise<void> {
  for (;;) {
    const chunk = request.read() as Buffer | null;
    if (chunk !== null) {
      request.unshift(chunk);
      return;
    }
    if (request.readableEnded || request.destroyed) throw empty(request);
    const heard = new AbortController();
    const { signal } = heard;
    const events = ['readable', 'end', 'close'].map((event) => once(request, event, { signal }));
    // A connection that breaks is an `error` before it is a `close`.
    await Promise.race(events).catch(() => undefined);
    heard.abort();
  }
}

function empty(request: IncomingMessage): StoreError {
  if (!request.complete) return new StoreError('ERR_ABORTED', 'the engine went away before it sent the archive');
  return new StoreError('ERR_TRUNCATED', 'the archive has no byte', {
    subject: 'ApplyDiff',
    hint: 'an engine repeats a broken exchange without its body: do the same again',
  });
}
