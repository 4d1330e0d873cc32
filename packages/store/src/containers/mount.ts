import { reachedStep } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { lockContainer } from '../locks.js';
import { noProcess, ownMark, type ProcessMark } from '../process-mark.js';
import { resolveContainer, type ContainerRecord } from './container-records.js';
import { addHold, countHolds, dropAllHolds, dropHold } from './holds.js';

/** How long a mount is wanted: until this process ends, or until somebody unmounts. */
export type MountLifetime = 'process' | 'persistent';

/** A mounted view. Disposing gives up this hold; the last one unmounts. */
export interface Mounted extends AsyncDisposable {
  /** The root of the view. */
  readonly path: string;
  release(): Promise<void>;
}

/**
 * Mounts a container, or takes one more hold on its mount; a mount that survived a crash is adopted.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_NEEDS_ROOT, ERR_MOUNT_FAILED
 */
export async function mountContainer(
  context: StoreContext,
  nameOrId: string,
  lifetime: MountLifetime,
  signal?: AbortSignal,
): Promise<Mounted> {
  const container = resolveContainer(context.database, nameOrId);
  const holder = lifetime === 'process' ? ownMark() : noProcess;
  const path = await hold(context, container, holder, signal);
  let released = false;
  const release = async (): Promise<void> => {
    if (released) return;
    released = true;
    await giveUp(context, container, () => dropHold(context.database, container.id, holder));
  };
  return { path, release, [Symbol.asyncDispose]: release };
}

/** Gives up a persistent hold, or with `all` every hold, and unmounts when none is left. No error when it is not mounted. */
export async function unmountContainer(
  context: StoreContext,
  nameOrId: string,
  options: { all?: boolean; signal?: AbortSignal } = {},
): Promise<void> {
  const container = resolveContainer(context.database, nameOrId);
  const drop = (): void => {
    if (options.all === true) dropAllHolds(context.database, container.id);
    else dropHold(context.database, container.id, noProcess);
  };
  await giveUp(context, container, drop, options.signal);
}

async function hold(
  context: StoreContext,
  container: ContainerRecord,
  holder: ProcessMark,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { database, paths } = context;
  await using _lock = await lockContainer(paths, container.cacheId, signal);
  const current = resolveContainer(database, container.id);
  const views = await context.views();
  const path = await views.mount(current.cacheId);
  reachedStep('mount.mounted', container.id);
  await database.write(() => addHold(database, current.id, holder));
  reachedStep('mount.counted', container.id);
  return path;
}

async function giveUp(
  context: StoreContext,
  container: ContainerRecord,
  drop: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const { database, paths } = context;
  await using _lock = await lockContainer(paths, container.cacheId, signal);
  const left = await database.write(() => {
    drop();
    return countHolds(database, container.id);
  });
  if (left > 0) return;
  reachedStep('unmount.released', container.id);
  await unmountView(context, container);
}

/** Unmounts whatever is on the container's mount point. @throws StoreError ERR_BUSY naming the holders */
export async function unmountView(context: StoreContext, container: ContainerRecord): Promise<void> {
  const views = await context.views();
  await views.unmount(container.cacheId);
}
