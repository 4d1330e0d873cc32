import { fromSystemError, silentLogger, StoreError, type Logger } from '@layerstore/core';
import { setTimeout as delay } from 'node:timers/promises';
import { UMOUNT_NOFOLLOW } from '../constants.js';
import type { BindPlan, MountPlan, OverlayPlan, UnionPlan } from '../mount-plan.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';
import { nativeSyscalls } from '../native-syscalls.js';
import type { Syscalls } from '../syscalls.js';
import { requireLinuxRoot } from '../system.js';
import { mountAufs } from './aufs-mount.js';
import { bindByMount, bindByOpenTree } from './bind.js';
import { describeHolders, findMountHolders } from './holders.js';
import { makeMountPoint, mountPointName, mountsOn, removeMountPoint, showsPlan } from './mount-point.js';
import { OverlayFailure } from './overlay-failure.js';
import { mountOverlayByFsopen } from './overlay-fsopen.js';
import { mountOverlayByMount } from './overlay-mount.js';

export interface MounterOptions {
  readonly syscalls?: Syscalls;
  /** `fsopen`: the new mount API. `mount`: mount(2). `auto`, the default: the first that the kernel has. */
  readonly method?: 'auto' | 'fsopen' | 'mount';
  readonly logger?: Logger;
}

/** A view that was opened a moment ago is often let go within milliseconds: by indexers, by a shell that ends. */
const BUSY_DELAYS_MS = [5, 10, 20, 40, 80, 160, 320];

/**
 * Performs mount plans and takes the mounts away again.
 *
 * It keeps no state: the kernel's mount table is the truth, so a mount that survived a crash is simply found. Who uses
 * a view is counted by its caller, who also sees to it that one target is not mounted and unmounted at the same time.
 * The kernel calls block the calling thread: a mount for about a millisecond, unmounting an overlay with an upper until
 * the upper's file system is synced.
 */
export class Mounter {
  readonly #method: 'auto' | 'fsopen' | 'mount';
  readonly #logger: Logger;
  readonly #given: Syscalls | undefined;

  constructor(options: MounterOptions = {}) {
    this.#method = options.method ?? 'auto';
    this.#logger = options.logger ?? silentLogger;
    this.#given = options.syscalls;
  }

  get #sys(): Syscalls {
    return this.#given ?? nativeSyscalls();
  }

  /**
   * Makes the view of a plan and returns its path. A directory plan is its own view: nothing is mounted. Otherwise
   * `target`, an absolute path in an existing directory, becomes the mount point; it is made, 0700, where it is
   * missing. When the plan's view is mounted there already, nothing happens.
   * @throws StoreError ERR_BUSY when something else is mounted there
   * @throws StoreError ERR_MOUNT_FAILED with the kernel's words; the mount point is removed again if it was made
   * @throws StoreError ERR_NEEDS_ROOT, ERR_UNSUPPORTED_PLATFORM
   */
  async mount(plan: MountPlan, target: string): Promise<string> {
    if (plan.kind === 'directory') return plan.path;
    if (this.#given === undefined) requireLinuxRoot('mounting a layer');
    const point = mountPointName(target);
    if (point === undefined) {
      throw new StoreError('ERR_MOUNT_FAILED', 'the directory of the mount point does not exist', { subject: target });
    }
    try {
      await this.#mountOn(plan, point);
      return target;
    } catch (error) {
      throw fromSystemError(error, point);
    }
  }

  /**
   * Takes away whatever is mounted on `target`, uppermost first, and then the directory, if it is empty. Where nothing
   * is mounted, nothing happens at all.
   * @throws StoreError ERR_BUSY with the processes that use the view, after about half a second of trying
   */
  async unmount(target: string): Promise<void> {
    const point = mountPointName(target);
    if (point === undefined) return;
    const stacked = mountsOn(point).length;
    for (let left = stacked; left > 0; left--) await this.#detach(point);
    if (stacked > 0 && !removeMountPoint(point)) {
      this.#logger.warn({ target: point }, 'the mount point is not empty and stays');
    }
  }

  isMounted(target: string): boolean {
    const point = mountPointName(target);
    return point !== undefined && mountsOn(point).length > 0;
  }

  /** Mounts, runs `use` with the view's path, and unmounts whatever happens. */
  async withMount<Result>(plan: MountPlan, target: string, use: (path: string) => Promise<Result>): Promise<Result> {
    const path = await this.mount(plan, target);
    let result: Result;
    try {
      result = await use(path);
    } catch (error) {
      await this.#unmountAfter(error, plan, target);
      throw error;
    }
    await this.#leave(plan, target);
    return result;
  }

  async #mountOn(plan: BindPlan | UnionPlan, point: string): Promise<void> {
    const made = makeMountPoint(point);
    try {
      const present = made ? undefined : mountsOn(point).at(-1);
      if (present === undefined) await this.#attach(plan, point);
      else this.#adopt(present.source, showsPlan(present, plan), point);
    } catch (error) {
      if (made) removeMountPoint(point);
      throw error;
    }
  }

  async #leave(plan: MountPlan, target: string): Promise<void> {
    if (plan.kind !== 'directory') await this.unmount(target);
  }

  async #unmountAfter(error: unknown, plan: MountPlan, target: string): Promise<void> {
    try {
      await this.#leave(plan, target);
    } catch (second) {
      const [first, besides] = [fromSystemError(error), fromSystemError(second)];
      throw new StoreError(first.code, `${first.message}; besides, the view stays mounted: ${besides.message}`, {
        cause: new AggregateError([error, second]),
      });
    }
  }

  #adopt(source: string, same: boolean, point: string): void {
    if (!same) {
      throw new StoreError('ERR_BUSY', `something else is mounted there (${source})`, {
        subject: point,
        hint: `unmount it first: umount ${point}`,
      });
    }
    this.#logger.debug({ target: point }, 'found mounted');
  }

  async #attach(plan: BindPlan | UnionPlan, point: string): Promise<void> {
    try {
      const method = await this.#perform(plan, point);
      this.#logger.debug({ target: point, kind: plan.kind, method }, 'mounted');
    } catch (error) {
      throw mountError(error, point);
    }
  }

  async #perform(plan: BindPlan | UnionPlan, point: string): Promise<'fsopen' | 'mount'> {
    if (plan.kind === 'bind') return this.#bind(plan, point);
    if (plan.kind === 'overlay') return this.#overlay(plan, point);
    mountAufs(this.#sys, plan, point);
    return 'mount';
  }

  #bind(plan: BindPlan, point: string): 'fsopen' | 'mount' {
    if (this.#method !== 'mount') {
      try {
        bindByOpenTree(this.#sys, plan, point);
        return 'fsopen';
      } catch (error) {
        if (this.#method === 'fsopen' || !hasErrno(error, 'ENOSYS', 'EPERM')) throw error;
      }
    }
    bindByMount(this.#sys, plan, point);
    return 'mount';
  }

  async #overlay(plan: OverlayPlan, point: string): Promise<'fsopen' | 'mount'> {
    let refusal: OverlayFailure | undefined;
    if (this.#method !== 'mount') {
      try {
        mountOverlayByFsopen(this.#sys, plan, point);
        return 'fsopen';
      } catch (error) {
        if (!(error instanceof OverlayFailure)) throw error;
        if (this.#method === 'fsopen' || !error.mayLackInterface) throw error;
        refusal = error;
      }
    }
    try {
      await mountOverlayByMount(this.#sys, plan, point);
      return 'mount';
    } catch (error) {
      // mount(2) gives a number only; what the kernel said the first time explains it.
      throw refusal !== undefined && refusal.text !== '' ? refusal : error;
    }
  }

  async #detach(point: string): Promise<void> {
    for (const wait of [...BUSY_DELAYS_MS, undefined]) {
      try {
        this.#sys.umount(point, UMOUNT_NOFOLLOW);
        return;
      } catch (error) {
        // Somebody else unmounted it.
        if (hasErrno(error, 'EINVAL', 'ENOENT')) return;
        if (!hasErrno(error, 'EBUSY')) throw fromSystemError(error, point);
        if (wait === undefined) throw busyError(point, error);
        await delay(wait);
      }
    }
  }
}

function busyError(point: string, cause: unknown): StoreError {
  const inner = mountsBelow(readMountTable('/proc/thread-self/mountinfo'), point).filter(
    (entry) => entry.mountPoint !== point,
  );
  const holders = describeHolders(findMountHolders(point));
  let reason = 'the view is in use';
  if (inner.length > 0)
    reason = `other mounts lie inside the view: ${inner.map((mount) => mount.mountPoint).join(', ')}`;
  else if (holders !== '') reason = `the view is in use by ${holders}`;
  return new StoreError('ERR_BUSY', reason, { subject: point, hint: 'end what uses it and unmount again', cause });
}

const explanations: Readonly<Record<string, string>> = {
  ENODEV: 'the kernel has no overlay file system; try: modprobe overlay',
  ENOENT: 'a directory of a layer is missing',
  ELOOP: 'a directory is used twice, or one lies inside another',
  ESTALE: 'the upper directory was used with other lower directories before',
};

function mountError(error: unknown, point: string): StoreError {
  const failure = error instanceof OverlayFailure ? error : undefined;
  const cause = failure === undefined ? error : (failure.cause ?? failure);
  const code = hasErrno(cause, 'ENOSPC', 'EDQUOT') ? 'ERR_NO_SPACE' : 'ERR_MOUNT_FAILED';
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  const hint = errno === undefined ? undefined : explanations[errno];
  const message = cause instanceof Error ? cause.message : String(cause);
  const reason = failure === undefined || failure.text === '' ? message : `${failure.text} (${errno ?? 'refused'})`;
  return new StoreError(code, `cannot be mounted: ${reason}`, {
    subject: point,
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}
