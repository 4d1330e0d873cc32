import type { LayerId } from '@layerstore/core';
import type { StoreContext } from '../context.js';

/** The directory that holds what a layer itself adds (overlay2) or all that it shows (vfs). @throws StoreError ERR_LAYER_NOT_FOUND */
export async function ownTree(context: StoreContext, id: LayerId): Promise<string> {
  const driver = await context.driver();
  const plan = await driver.plan(id, { readOnly: true });
  switch (plan.kind) {
    case 'overlay':
      return plan.lowers[0] ?? '';
    case 'aufs':
      return (await driver.applyTarget(id)).tree.path;
    case 'bind':
      return plan.source;
    case 'directory':
      return plan.path;
  }
}
