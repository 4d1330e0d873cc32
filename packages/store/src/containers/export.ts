import type { OperationOptions } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { writeTarget, type Target } from '../target.js';
import { mountContainer } from './mount.js';

/**
 * Writes a container's whole view as a tar. Mounts it for the time being.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_ABORTED
 */
export async function exportContainer(
  context: StoreContext,
  nameOrId: string,
  target: Target,
  options: OperationOptions,
): Promise<{ size: number }> {
  await using view = await mountContainer(context, nameOrId, 'process');
  const workers = await context.workers();
  const task = `export:${nameOrId}`;
  options.onProgress?.({ kind: 'start', task, label: `exporting ${nameOrId}` });
  const result = await writeTarget(target, (to) =>
    workers.run(
      { kind: 'export', path: view.path, to },
      {
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        onProgress: (done) => options.onProgress?.({ kind: 'advance', task, done }),
      },
    ),
  );
  options.onProgress?.({ kind: 'end', task, label: `exporting ${nameOrId}`, outcome: 'done' });
  return { size: result.size };
}
