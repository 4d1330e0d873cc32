import { reachedStep, type ChainId } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { ChainLocks } from '../locks.js';
import type { Staging } from '../staging.js';
import { deleteLayer, findLayer, layerInUse, layerStack } from './layer-records.js';
import { addPending, deletePending } from './pending.js';

/**
 * Removes the layers of a stack, from the top down, that nothing stands on any more. `alongside` runs first, in the same
 * transaction, and takes away the record that used the stack. A layer that some process is building on keeps its record.
 * @returns the chain IDs that went, top first
 */
export async function releaseStack(
  context: StoreContext,
  staging: Staging,
  top: ChainId | undefined,
  alongside: () => void,
): Promise<ChainId[]> {
  const { database, paths } = context;
  await using locks = new ChainLocks(paths);
  const free: ChainId[] = [];
  for (const layer of layerStack(database, top).reverse()) {
    if (!(await locks.tryAcquire(layer.chainId))) break;
    free.push(layer.chainId);
  }
  const removed = await database.write(() => {
    alongside();
    const gone: ChainId[] = [];
    for (const chainId of free) {
      const layer = findLayer(database, chainId);
      if (layer === undefined) continue;
      if (layerInUse(database, chainId)) break;
      deleteLayer(database, chainId);
      addPending(database, layer.cacheId, staging);
      gone.push(chainId);
    }
    reachedStep('release.written', staging.id);
    return gone;
  });
  reachedStep('release.committed', staging.id);
  await deletePending(context, staging.id);
  return removed;
}
