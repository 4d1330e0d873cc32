import { StoreError } from '@layerstore/core';
import type { Session } from '../../session.js';

/**
 * Waits for the signal that ends a server.
 * @param failed resolves or rejects when the server cannot go on
 * @throws StoreError what `failed` gives
 */
export async function untilStopped(failed: Promise<StoreError>, session: Session): Promise<void> {
  const failure = await Promise.race([session.interruption.stopped, failed]);
  if (failure instanceof StoreError) throw failure;
}
