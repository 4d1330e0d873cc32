import { reachedStep, StoreError } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { releaseStack } from '../layers/release.js';
import { addPending } from '../layers/pending.js';
import { lockContainer } from '../locks.js';
import { Staging } from '../staging.js';
import { deleteContainer, resolveContainer, type ContainerRecord } from './container-records.js';
import { countHolds, dropAllHolds } from './holds.js';
import { unmountView } from './mount.js';

/**
 * Removes a container and its writable layer. `force` unmounts it first, whoever holds it.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_BUSY while it is mounted
 */
export async function removeContainer(
  context: StoreContext,
  nameOrId: string,
  options: { force?: boolean; signal?: AbortSignal } = {},
): Promise<void> {
  const { database, paths } = context;
  const container = resolveContainer(database, nameOrId);
  await using staging = await Staging.create(paths);
  await using lock = await lockContainer(paths, container.cacheId, options.signal);
  const holds = await database.write(() => {
    if (options.force === true) dropAllHolds(database, container.id);
    return countHolds(database, container.id);
  });
  if (holds > 0) throw stillMounted(container);
  await unmountView(context, container);
  await releaseStack(context, staging, container.chainId, () => {
    // Another process may have removed it, and even reused the name, before this one had the lock.
    resolveContainer(database, container.id);
    deleteContainer(database, container.id);
    addPending(database, container.cacheId, staging);
  });
  reachedStep('remove.finished', container.id);
  lock.remove();
}

function stillMounted(container: ContainerRecord): StoreError {
  return new StoreError('ERR_BUSY', 'the container is mounted', {
    subject: container.name,
    hint: `unmount it first (layerstore unmount ${container.name}), or use --force`,
  });
}
