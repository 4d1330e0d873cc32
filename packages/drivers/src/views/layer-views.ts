/**
 * The views of a driver's layers: mounted when the first wants one, unmounted when the last has let go.
 *
 * The kernel's mount table is the truth about mounts, the counts here say why they are there. A view that was mounted
 * by a process that is gone is adopted by the first `get`.
 */
import { parseLayerId, type LayerId } from '@layerstore/core';
import type { Mounter } from '@layerstore/linux';
import type { GraphDriver, PlanOptions } from '../driver.js';

/** A view in use; disposing of it lets go. */
export interface ViewLease extends AsyncDisposable {
  /** The root of the view. */
  readonly path: string;
}

export class LayerViews {
  readonly #counts = new Map<LayerId, number>();
  /** The last work on each view: what changes the same one waits for it. */
  readonly #turns = new Map<LayerId, Promise<unknown>>();

  constructor(
    private readonly driver: GraphDriver,
    private readonly mounter: Mounter,
  ) {}

  /**
   * Makes the view of a layer, or counts one more user of it.
   * @returns the path of the view, the same for every user
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_MOUNT_FAILED, ERR_BUSY
   */
  async get(id: LayerId, options: PlanOptions = {}): Promise<string> {
    return this.#inTurn(id, async () => {
      const path = await this.#mount(id, options);
      this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
      return path;
    });
  }

  /**
   * Lets go of a view; the last unmounts it. A surplus call is no error.
   * @throws StoreError ERR_BUSY when somebody works in the view; it stays mounted and counted
   */
  async put(id: LayerId): Promise<void> {
    await this.#inTurn(id, async () => {
      const left = (this.#counts.get(id) ?? 0) - 1;
      if (left > 0) {
        this.#counts.set(id, left);
        return;
      }
      await this.#unmount(id);
      this.#counts.delete(id);
    });
  }

  /** {@link get} for the time of a block. */
  async lease(id: LayerId, options: PlanOptions = {}): Promise<ViewLease> {
    const path = await this.get(id, options);
    return { path, [Symbol.asyncDispose]: () => this.put(id) };
  }

  /** Mounts a view without counting, for those that count elsewhere. */
  async mount(id: LayerId, options: PlanOptions = {}): Promise<string> {
    return this.#inTurn(id, () => this.#mount(id, options));
  }

  /** Unmounts a view whoever uses it; one that is not mounted is no error. @throws StoreError ERR_BUSY */
  async unmount(id: LayerId): Promise<void> {
    await this.#inTurn(id, async () => {
      await this.#unmount(id);
      this.#counts.delete(id);
    });
  }

  async #mount(id: LayerId, options: PlanOptions): Promise<string> {
    const plan = await this.driver.openView(id, options);
    try {
      return await this.mounter.mount(plan, this.driver.mountPoint(id));
    } catch (error) {
      await this.driver.closeView(id);
      throw error;
    }
  }

  async #unmount(id: LayerId): Promise<void> {
    await this.mounter.unmount(this.driver.mountPoint(id));
    await this.driver.closeView(id);
  }

  async #inTurn<Result>(id: LayerId, work: () => Promise<Result>): Promise<Result> {
    const key = parseLayerId(id);
    const before = this.#turns.get(key);
    const turn = (async () => {
      await before?.catch(() => undefined);
      return await work();
    })();
    this.#turns.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    }
  }
}
