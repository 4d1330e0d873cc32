import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { StoreError } from '@layerstore/core';
import { Pipe } from './pipe.js';

/**
 * Answers with what `produce` writes into a pipe. The answer begins with the first byte, so what fails before is an error with a
 * status; and it ends only after `produce` has: what fails later breaks the connection.
 * @param produce is given the descriptor to write to, and leaves it open
 * @throws what `produce` throws; ERR_ABORTED from it when the engine goes away
 */
export async function answerWithStream(
  response: ServerResponse,
  produce: (fd: number, signal: AbortSignal) => Promise<unknown>,
  count: (bytes: number) => void,
): Promise<void> {
  using pipe = Pipe.fromThread();
  const controller = new AbortController();
  const gone = (): void => {
    controller.abort();
    // A thread that waits for room in the pipe hears of nothing else.
    pipe.stream.destroy();
  };
  response.once('close', gone);
  if (response.destroyed) gone();
  const produced = produce(pipe.fd, controller.signal);
  const firstByte = once(pipe.stream, 'readable').catch(() => undefined);
  try {
    await Promise.race([produced, firstByte]);
    response.writeHead(200, { 'content-type': 'application/x-tar' });
    pipe.stream.on('data', (chunk: Buffer) => count(chunk.length));
    pipe.stream.pipe(response, { end: false });
    await produced;
    pipe.closeThreadEnd();
    if (!pipe.stream.closed) await once(pipe.stream, 'close');
    if (!pipe.stream.readableEnded) throw engineGone(undefined);
    response.end();
  } catch (error) {
    throw controller.signal.aborted ? engineGone(error) : error;
  } finally {
    response.off('close', gone);
    await produced.catch(() => undefined);
  }
}

function engineGone(cause: unknown): StoreError {
  return new StoreError('ERR_ABORTED', 'the engine went away while it was sent an archive', { cause });
}
