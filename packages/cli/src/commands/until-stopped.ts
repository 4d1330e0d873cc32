import { once } from 'node:events';
import type { StoreError } from '@layerstore/core';
import type { Session } from '../session.js';

/**
 * Waits for the signal that ends a server.
 * @param failed settles when the server cannot go on
 * @throws what `failed` gives
 */
export async function untilStopped(failed: Promise<StoreError>, session: Session): Promise<void> {
  if (session.signal.aborted) return;
  const stopped = once(session.signal, 'abort').then(() => undefined);
  const failure = await Promise.race([stopped, failed]);
  if (failure !== undefined) throw failure;
}
