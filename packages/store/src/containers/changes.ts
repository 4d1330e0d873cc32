import type { DiffSource } from '@layerstore/archive';
import { StoreError, type OperationOptions } from '@layerstore/core';
import type { GraphDriver, HoldPurpose } from '@layerstore/drivers';
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
  await using held = await holdDiff(context, container, 'comparison');
  const changes = await workers.run(
    { kind: 'changes', diff: held.diff },
    options.signal === undefined ? {} : { signal: options.signal },
  );
  return pathChanges(changes);
}

/** Bytes of file content that a container adds. */
export async function containerSize(context: StoreContext, container: ContainerRecord): Promise<number> {
  const workers = await context.workers();
  await using held = await holdDiff(context, container, 'comparison');
  return await workers.run({ kind: 'diff-size', diff: held.diff });
}

/** The trees of a container and its image, readable until it is disposed of. */
export interface HeldDiff extends AsyncDisposable {
  readonly diff: DiffSource;
}

export async function holdDiff(
  context: StoreContext,
  container: ContainerRecord,
  purpose: HoldPurpose,
): Promise<HeldDiff> {
  const driver = await context.driver();
  const held = await driver.hold(container.cacheId, purpose);
  try {
    return { diff: await containerDiff(driver, context, container), [Symbol.asyncDispose]: () => disposeOf(held) };
  } catch (error) {
    await disposeOf(held);
    throw error;
  }
}

async function disposeOf(resource: AsyncDisposable): Promise<void> {
  await resource[Symbol.asyncDispose]();
}

async function containerDiff(
  driver: GraphDriver,
  context: StoreContext,
  container: ContainerRecord,
): Promise<DiffSource> {
  const parent = container.chainId === undefined ? undefined : findLayer(context.database, container.chainId);
  const diff = await driver.diffSource(container.cacheId, parent?.cacheId);
  if (diff !== undefined) return diff;
  throw new StoreError('ERR_NOT_SUPPORTED', `${driver.name} cannot compare the container with its image`, {
    subject: container.name,
  });
}
