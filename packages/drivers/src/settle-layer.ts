import type { ArchiveWorkers, DeferredWork, LayerTree } from '@layerstore/archive';
import type { LayerId } from '@layerstore/core';
import type { ApplyTarget, GraphDriver } from './driver.js';

/**
 * Completes a layer into which an archive was unpacked, once those under it are complete; never left out. What lies under it is
 * looked at only where the archive leaves something to it.
 * @param target what {@link GraphDriver.applyTarget} gave for the archive
 * @throws StoreError as `settleDeferred` and {@link GraphDriver.hold} do
 */
export async function settleLayer(
  driver: GraphDriver,
  workers: ArchiveWorkers,
  id: LayerId,
  { target, deferred }: { readonly target: ApplyTarget; readonly deferred: DeferredWork },
): Promise<void> {
  const settle = (lowers: readonly LayerTree[]): Promise<undefined> =>
    workers.run({ kind: 'settle', deferred, tree: target.tree, lowers: [...lowers] });
  if (target.lowers.length === 0 || !asksForLowers(deferred)) {
    await settle([]);
    return;
  }
  await using _held = await driver.hold(id, 'apply');
  await settle((await driver.applyTarget(id)).lowers);
}

function asksForLowers({ directories, links, opaqueRoot, whiteouts }: DeferredWork): boolean {
  return opaqueRoot || [directories, links, whiteouts].some((items) => items.length > 0);
}
