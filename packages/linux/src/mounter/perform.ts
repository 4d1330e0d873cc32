/** Which way a plan is mounted: the first that works, or the one that was asked for. */
import { hasCode, StoreError } from '@layerstore/core';
import type { BindPlan, OverlayPlan, UnionPlan } from '../mount-plan.js';
import { hasErrno } from '../native/errno.js';
import { mountAufs } from './aufs-mount.js';
import { bindByMount, bindByOpenTree } from './bind.js';
import { mayHoldFuseLeftovers, recordFuseUpper, removeFuseLeftovers } from './fuse-leftovers.js';
import { mountByFuseOverlayfs } from './fuse-overlayfs.js';
import type { MountMethod, MountTools } from './mount-tools.js';
import { OverlayFailure } from './overlay-failure.js';
import { mountOverlayByFsopen } from './overlay-fsopen.js';
import { mountOverlayByMount } from './overlay-mount.js';
import { ownWorkDirectory } from './own-work-directory.js';
import { openUserNamespace } from './user-namespace.js';

/**
 * Mounts a plan on an existing directory on which nothing is mounted.
 * @returns the way in which it was done
 * @throws OverlayFailure, StoreError, SystemError
 */
export async function performPlan(tools: MountTools, plan: BindPlan | UnionPlan, point: string): Promise<MountMethod> {
  switch (plan.kind) {
    case 'bind':
      return withNamespace(tools, plan, (userNamespace) => Promise.resolve(bind(tools, plan, point, userNamespace)));
    case 'overlay': {
      const method = await overlay(tools, plan, point);
      ownWorkDirectory(tools.sys, plan, point);
      return method;
    }
    case 'aufs':
      await mountAufs(tools.sys, tools.kernel, plan, point);
      return 'mount';
  }
}

async function withNamespace<Result>(
  { sys }: MountTools,
  plan: BindPlan | OverlayPlan,
  use: (userNamespace: number | undefined) => Promise<Result>,
): Promise<Result> {
  if (plan.idMaps === undefined) return use(undefined);
  const userNamespace = await openUserNamespace(sys, plan.idMaps);
  try {
    return await use(userNamespace);
  } finally {
    sys.close(userNamespace);
  }
}

function bind({ sys, method }: MountTools, plan: BindPlan, point: string, userNamespace?: number): MountMethod {
  // mount(2) knows no mapped owners.
  if (method !== 'mount' || userNamespace !== undefined) {
    try {
      bindByOpenTree(sys, plan, point, userNamespace);
      return 'fsopen';
    } catch (error) {
      const other = method !== 'fsopen' && userNamespace === undefined;
      if (!other || !hasErrno(error, 'ENOSYS', 'EPERM')) throw error;
    }
  }
  bindByMount(sys, plan, point);
  return 'mount';
}

async function overlay(tools: MountTools, plan: OverlayPlan, point: string): Promise<MountMethod> {
  // Left by a process that was killed: a kernel overlay would show it.
  if (plan.upper !== undefined && mayHoldFuseLeftovers(plan.upper)) await removeFuseLeftovers(tools.sys, plan.upper);
  if (plan.program === 'fuse-overlayfs' || tools.method === 'fuse-overlayfs') {
    await byProgram(tools, plan, point);
    return 'fuse-overlayfs';
  }
  try {
    return await withNamespace(tools, plan, (userNamespace) => kernelOverlay(tools, plan, point, userNamespace));
  } catch (error) {
    if (tools.method !== 'auto' || !mayLackOverlay(error)) throw error;
    await insteadOfKernel(tools, plan, point, error);
    return 'fuse-overlayfs';
  }
}

async function kernelOverlay(
  { sys, method }: MountTools,
  plan: OverlayPlan,
  point: string,
  userNamespace: number | undefined,
): Promise<MountMethod> {
  let refusal: OverlayFailure | undefined;
  if (method !== 'mount') {
    try {
      mountOverlayByFsopen(sys, plan, point, userNamespace);
      return 'fsopen';
    } catch (error) {
      if (!(error instanceof OverlayFailure)) throw error;
      if (method === 'fsopen' || !error.mayLackInterface) throw error;
      refusal = error;
    }
  }
  try {
    await mountOverlayByMount(sys, plan, point, userNamespace);
    return 'mount';
  } catch (error) {
    // mount(2) gives a number only; what the kernel said the first time explains it.
    throw refusal !== undefined && refusal.text !== '' ? refusal : error;
  }
}

/** Refusals that are about this kernel, or this process's rights in it, and not about the layers. */
function mayLackOverlay(error: unknown): error is OverlayFailure {
  return error instanceof OverlayFailure && hasErrno(error.cause, 'ENODEV', 'ENOSYS', 'EPERM');
}

async function insteadOfKernel(
  tools: MountTools,
  plan: OverlayPlan,
  point: string,
  refusal: OverlayFailure,
): Promise<void> {
  try {
    await byProgram(tools, plan, point);
  } catch (error) {
    // That the program is missing too is not what is wrong first.
    if (hasCode(error, 'ERR_MISSING_PREREQUISITE', 'ERR_NOT_SUPPORTED')) throw refusal;
    throw error;
  }
  tools.logger.warn({ target: point, reason: refusal.message }, 'the kernel mounts no overlay; fuse-overlayfs is used');
}

async function byProgram({ sys, kernel }: MountTools, plan: OverlayPlan, point: string): Promise<void> {
  if (plan.program === 'none') {
    throw new StoreError('ERR_NOT_SUPPORTED', 'fuse-overlayfs would show these layers wrongly', {
      subject: point,
      hint: 'open the driver with a mounter for fuse-overlayfs, so that it plans for it',
    });
  }
  if (plan.upper !== undefined) recordFuseUpper(plan.upper);
  try {
    await mountByFuseOverlayfs(kernel, plan, point);
  } catch (error) {
    if (plan.upper !== undefined) await removeFuseLeftovers(sys, plan.upper);
    throw error;
  }
}
