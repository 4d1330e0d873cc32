import type { AppliedLayer } from '@layerstore/archive';
import { nextChainId, randomId, reachedStep, type ChainId, type DiffId } from '@layerstore/core';
import { settleLayer, type ApplyTarget } from '@layerstore/drivers';
import type { StoreContext } from '../context.js';
import { ChainLocks } from '../locks.js';
import type { Staging } from '../staging.js';
import { findLayer, type LayerRecord } from './layer-records.js';
import { addPending } from './pending.js';
import type { UnpackedStack } from './unpack-stack.js';

/**
 * Makes one layer whose diff ID is known only when it is complete: an imported root file system or a commit.
 * `fill` unpacks into the target and writes the tar-split record to the given path.
 * When the store turns out to have the layer, the new one stays pending and the present one is used.
 */
export async function makeLayer(
  context: StoreContext,
  staging: Staging,
  parent: LayerRecord | undefined,
  fill: (target: ApplyTarget, tarSplit: string) => Promise<AppliedLayer>,
  signal: AbortSignal | undefined,
): Promise<UnpackedStack & { readonly diffId: DiffId; readonly chainId: ChainId }> {
  const driver = await context.driver();
  const cacheId = randomId();
  await context.database.write(() => addPending(context.database, cacheId, staging), signal);
  reachedStep('unpack.announced', staging.id);
  await driver.create(cacheId, parent === undefined ? {} : { parent: parent.cacheId });
  const target = await driver.applyTarget(cacheId);
  const tarSplit = staging.file(`tar-split-${cacheId}`);
  const applied = await fill(target, tarSplit);
  await settleLayer(driver, await context.workers(), cacheId, { target, deferred: applied.deferred });
  await driver.finishApply(cacheId);
  reachedStep('unpack.applied', cacheId);

  const diffId = applied.diffId;
  const chainId = chainOver(parent, diffId);
  const locks = new ChainLocks(context.paths);
  await locks.acquire(chainId, 'exclusive', { signal });
  const present = findLayer(context.database, chainId);
  const size = present?.size ?? applied.contentSize;
  return {
    diffId,
    chainId,
    layers: [{ diffId, chainId, size, present: present !== undefined }],
    fresh:
      present !== undefined
        ? []
        : [
            {
              chainId,
              diffId,
              parent: parent?.chainId,
              parentCacheId: parent?.cacheId,
              cacheId,
              size,
              tarSize: applied.tarSize,
              depth: (parent?.depth ?? 0) + 1,
              created: Date.now(),
              tarSplit,
            },
          ],
    [Symbol.asyncDispose]: () => locks[Symbol.asyncDispose](),
  };
}

function chainOver(parent: LayerRecord | undefined, diffId: DiffId): ChainId {
  return parent === undefined ? diffId : nextChainId(parent.chainId, diffId);
}
