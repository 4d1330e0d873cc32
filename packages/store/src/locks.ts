import { join } from 'node:path';
import { digestHex, type ChainId, type LayerId } from '@layerstore/core';
import { FileLock } from '@layerstore/linux';
import type { RootPaths } from './root.js';

/**
 * Who works on which layer. A process that makes a layer holds its chain ID exclusively until the layer is published; one
 * that builds on a published layer holds it shared. Deleting needs it exclusively, so nothing is pulled away underneath.
 *
 * Stacks are always locked from the base up, so two processes never wait for each other in a circle.
 */
export class ChainLocks implements AsyncDisposable {
  private readonly held = new Map<ChainId, FileLock>();

  constructor(private readonly paths: RootPaths) {}

  /** Waits for the lock. `onWait` is called once when another process holds it. @throws StoreError ERR_ABORTED */
  async acquire(
    chainId: ChainId,
    mode: 'shared' | 'exclusive',
    options: { signal?: AbortSignal | undefined; onWait?: () => void } = {},
  ): Promise<void> {
    await this.release(chainId);
    const shared = mode === 'shared';
    const path = chainLockPath(this.paths, chainId);
    let lock = await FileLock.tryAcquire(path, { shared });
    if (lock === undefined) {
      options.onWait?.();
      lock = await FileLock.acquire(path, {
        shared,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    }
    this.held.set(chainId, lock);
  }

  /** Takes the lock exclusively if nobody has it. */
  async tryAcquire(chainId: ChainId): Promise<boolean> {
    if (this.held.has(chainId)) return true;
    const lock = await FileLock.tryAcquire(chainLockPath(this.paths, chainId));
    if (lock === undefined) return false;
    this.held.set(chainId, lock);
    return true;
  }

  async release(chainId: ChainId): Promise<void> {
    const lock = this.held.get(chainId);
    this.held.delete(chainId);
    await lock?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const chainId of [...this.held.keys()].reverse()) await this.release(chainId);
  }
}

/** Serialises mounting, unmounting and removing of one container over all processes. */
export function lockContainer(paths: RootPaths, cacheId: LayerId, signal?: AbortSignal): Promise<FileLock> {
  return FileLock.acquire(join(paths.locks, `container-${cacheId}`), signal === undefined ? {} : { signal });
}

function chainLockPath(paths: RootPaths, chainId: ChainId): string {
  return join(paths.locks, `chain-${digestHex(chainId)}`);
}
