import { fromSystemError, hasCode, silentLogger, StoreError, type Logger } from '@layerstore/core';
import { kernelTables, type KernelTables } from '../kernel-tables.js';
import type { BindPlan, MountPlan, UnionPlan } from '../mount-plan.js';
import { mountsBelow, type MountTableEntry } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import type { Syscalls } from '../syscalls.js';
import { requireLinuxRoot } from '../system.js';
import { removeFuseLeftovers } from './fuse-leftovers.js';
import { withoutUnusableLabel } from './labels.js';
import { mountError } from './mount-error.js';
import { isDead, makeMountPoint, mountPointName, mountsOn, removeMountPoint, topMount } from './mount-point.js';
import type { MountMethod, MountTools } from './mount-tools.js';
import { performPlan } from './perform.js';
import { showsPlan, type Adoption } from './shows-plan.js';
import { takeAway, type WhenBusy } from './take-away.js';

export interface MounterOptions {
  readonly syscalls?: Syscalls;
  /** Where mounts are looked up; default the kernel's own tables. */
  readonly kernel?: KernelTables;
  /**
   * How overlays are mounted. `auto`, the default: by the new mount API, by mount(2) where the kernel lacks it, by
   * fuse-overlayfs where the kernel has no overlay for this process.
   */
  readonly method?: 'auto' | MountMethod;
  /**
   * `thread`, the default: unmounting blocks the calling thread. `background`: it waits in a thread of libuv's pool, of which a
   * process has four.
   */
  readonly unmountIn?: 'thread' | 'background';
  readonly logger?: Logger;
}

/**
 * Performs mount plans and takes the mounts away again.
 *
 * It keeps no state: the kernel's mount table is the truth, so a mount that survived a crash is simply found. Who uses
 * a view is counted by its caller, who also sees to it that one target is not mounted and unmounted at the same time.
 * The kernel calls block the calling thread: a mount for about a millisecond, unmounting an overlay with an upper until
 * the upper's file system is synced, unless `unmountIn` says otherwise.
 */
export class Mounter {
  readonly #options: MounterOptions;

  constructor(options: MounterOptions = {}) {
    this.#options = options;
  }

  /** How overlays are to be mounted; drivers that plan differently for fuse-overlayfs look at it. */
  get method(): 'auto' | MountMethod {
    return this.#options.method ?? 'auto';
  }

  get #tools(): MountTools {
    const { syscalls, kernel, method, unmountIn, logger } = this.#options;
    return {
      sys: syscalls ?? nativeSyscalls(),
      kernel: kernel ?? kernelTables,
      method: method ?? 'auto',
      unmountIn: unmountIn ?? 'thread',
      logger: logger ?? silentLogger,
    };
  }

  /**
   * Makes the view of a plan and returns its path. A directory plan is its own view: nothing is mounted. Otherwise
   * `target`, an absolute path in an existing directory, becomes the mount point; it is made, 0700, where it is
   * missing. When the plan's view is mounted there already, nothing happens; a view whose process has died is mounted
   * again, and of several mounts on the point the upper ones are taken away first.
   * @param adoption which mounts are the plan's; default `exact`
   * @throws StoreError ERR_BUSY when something else is mounted there
   * @throws StoreError ERR_MOUNT_FAILED with the kernel's words; the mount point is removed again if it was made
   * @throws StoreError ERR_MAX_DEPTH, ERR_MISSING_PREREQUISITE, ERR_NO_SPACE
   * @throws StoreError ERR_NEEDS_ROOT, ERR_UNSUPPORTED_PLATFORM
   */
  async mount(plan: MountPlan, target: string, adoption: Adoption = 'exact'): Promise<string> {
    if (plan.kind === 'directory') return plan.path;
    if (this.#options.syscalls === undefined) requireLinuxRoot('mounting a layer');
    const point = mountPointName(target);
    if (point === undefined) {
      throw new StoreError('ERR_MOUNT_FAILED', 'the directory of the mount point does not exist', { subject: target });
    }
    try {
      await this.#mountOn(this.#tools, withoutUnusableLabel(plan, this.#tools.kernel), point, adoption);
      return target;
    } catch (error) {
      throw fromSystemError(error, point);
    }
  }

  /**
   * Takes away whatever is mounted on `target`, uppermost first, and then the directory, if it is empty: with it go the
   * copies of the mount that other mount namespaces have. Where nothing is mounted, nothing happens at all.
   * @throws StoreError ERR_BUSY with the mounts and processes that hold the view, after about half a second of trying
   */
  async unmount(target: string): Promise<void> {
    await this.#takeAll(target, 'report');
  }

  /**
   * The same whoever uses the view: what stays busy is detached, with all that is mounted inside. Its users keep what
   * they have open; nobody else finds it any more.
   */
  async detach(target: string): Promise<void> {
    await this.#takeAll(target, 'detach');
  }

  /** What is seen on `target`; `undefined` when nothing is mounted there. */
  mountOn(target: string): MountTableEntry | undefined {
    const point = mountPointName(target);
    return point === undefined ? undefined : topMount(this.#tools.kernel, point);
  }

  isMounted(target: string): boolean {
    return this.mountOn(target) !== undefined;
  }

  /** Every mount at or below a directory, lowest first; those in other mount namespaces are not seen. */
  mountsBelow(directory: string): MountTableEntry[] {
    return mountsBelow(this.#tools.kernel.mounts(), mountPointName(directory) ?? directory);
  }

  /**
   * Takes out of a plan's upper what fuse-overlayfs has left in it, after its view was unmounted. Nothing happens
   * where there is nothing to clean. Cost then: a walk over the upper.
   */
  async tidy(plan: MountPlan): Promise<void> {
    if (plan.kind !== 'overlay' || plan.upper === undefined) return;
    try {
      await removeFuseLeftovers(this.#tools.sys, plan.upper);
    } catch (error) {
      throw fromSystemError(error, plan.upper.path);
    }
  }

  /** Mounts, runs `use` with the view's path, and unmounts whatever happens. */
  async withMount<Result>(plan: MountPlan, target: string, use: (path: string) => Promise<Result>): Promise<Result> {
    const path = await this.mount(plan, target);
    let result: Result;
    try {
      result = await use(path);
    } catch (error) {
      await this.#leaveAfter(error, plan, target);
      throw error;
    }
    await this.#leave(plan, target);
    return result;
  }

  async #mountOn(tools: MountTools, plan: BindPlan | UnionPlan, point: string, adoption: Adoption): Promise<void> {
    const made = makeMountPoint(point);
    try {
      if (made || !(await this.#findMounted(tools, plan, point, adoption))) await this.#attach(tools, plan, point);
    } catch (error) {
      if (made) removeMountPoint(point);
      throw error;
    }
  }

  /** Takes over what is mounted; returns false when nothing is. @throws StoreError ERR_BUSY */
  async #findMounted(
    tools: MountTools,
    plan: BindPlan | UnionPlan,
    point: string,
    adoption: Adoption,
  ): Promise<boolean> {
    for (let left = mountsOn(tools.kernel, point).length; left > 0; left--) {
      const dead = isDead(point);
      if (!dead && left === 1) break;
      tools.logger.warn(
        { target: point },
        dead ? 'the process of a view has died' : 'mounts lie on top of one another',
      );
      try {
        await takeAway(tools, point, dead ? 'detach' : 'report');
      } catch (error) {
        // Whoever uses it sees the uppermost; whether that is the plan's view is looked at next.
        if (!hasCode(error, 'ERR_BUSY')) throw error;
        break;
      }
    }
    const present = topMount(tools.kernel, point);
    if (present === undefined) return false;
    if (!showsPlan(tools.kernel, present, plan, adoption)) {
      throw new StoreError('ERR_BUSY', `something else is mounted there (${present.source})`, {
        subject: point,
        hint: `unmount it first: umount ${point}`,
      });
    }
    tools.logger.debug({ target: point }, 'found mounted');
    return true;
  }

  async #attach(tools: MountTools, plan: BindPlan | UnionPlan, point: string): Promise<void> {
    try {
      const method = await performPlan(tools, plan, point);
      tools.logger.debug({ target: point, kind: plan.kind, method }, 'mounted');
    } catch (error) {
      throw mountError(error, point);
    }
  }

  async #takeAll(target: string, whenBusy: WhenBusy): Promise<void> {
    const point = mountPointName(target);
    if (point === undefined) return;
    const tools = this.#tools;
    try {
      const stacked = mountsOn(tools.kernel, point).length;
      for (let left = stacked; left > 0; left--) await takeAway(tools, point, whenBusy);
      if (stacked > 0 && !removeMountPoint(point)) {
        tools.logger.warn({ target: point }, 'the mount point is not empty and stays');
      }
    } catch (error) {
      throw fromSystemError(error, point);
    }
  }

  async #leave(plan: MountPlan, target: string): Promise<void> {
    if (plan.kind === 'directory') return;
    await this.unmount(target);
    await this.tidy(plan);
  }

  async #leaveAfter(error: unknown, plan: MountPlan, target: string): Promise<void> {
    try {
      await this.#leave(plan, target);
    } catch (second) {
      const [first, besides] = [fromSystemError(error), fromSystemError(second)];
      throw new StoreError(first.code, `${first.message}; besides, the view stays mounted: ${besides.message}`, {
        cause: new AggregateError([error, second]),
      });
    }
  }
}
