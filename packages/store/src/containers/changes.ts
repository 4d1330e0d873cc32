import type { DiffSource } from '@layerstore/archive';
import { StoreError, type OperationOptions } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { findLayer } from '../layers/layer-records.js';
import type { PathChange } from '../model.js';
import { pathChanges } from '../path-changes.js';
import { resolveContainer, type ContainerRecord } from './container-records.js';

/**
 * What a container changed, sorted by path. Cost: a walk of its own writable layer.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND
 */
export async function containerChanges(
  context: StoreContext,
  nameOrId: string,
  options: OperationOptions,
): Promise<PathChange[]> {
  const container = resolveContainer(context.database, nameOrId);
  const workers = await context.workers();
  const changes = await workers.run(
    { kind: 'changes', diff: await containerDiff(context, container) },
    options.signal === undefined ? {} : { signal: options.signal },
  );
  return pathChanges(changes);
}

/** Bytes of file content that a container adds. */
export async function containerSize(context: StoreContext, container: ContainerRecord): Promise<number> {
  const workers = await context.workers();
  return workers.run({ kind: 'diff-size', diff: await containerDiff(context, container) });
}

export async function containerDiff(context: StoreContext, container: ContainerRecord): Promise<DiffSource> {
  const driver = await context.driver();
  const parent = container.chainId === undefined ? undefined : findLayer(context.database, container.chainId);
  const diff = await driver.diffSource(container.cacheId, parent?.cacheId);
  if (diff !== undefined) return diff;
  throw new StoreError('ERR_NOT_SUPPORTED', `${driver.name} cannot compare the container with its image`, {
    subject: container.name,
  });
}
