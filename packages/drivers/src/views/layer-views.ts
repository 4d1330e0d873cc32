/**
 * The views of a driver's layers: mounted when the first wants one, unmounted when the last has let go.
 *
 * The kernel's mount table is the truth about mounts, the counts here say why they are there. A view that a process left
 * mounted which is gone now is adopted, with one user, by the first `get` or `put`: whoever had it may still let go of it.
 */
import { join } from 'node:path';
import { fromSystemError, hasCode, parseLayerId, StoreError, Turns, type LayerId } from '@layerstore/core';
import { mountsBelow, type Mounter } from '@layerstore/linux';
import type { GraphDriver, PlanOptions } from '../driver.js';

/** A view in use; disposing of it lets go. */
export interface ViewLease extends AsyncDisposable {
  /** The root of the view. */
  readonly path: string;
}

interface CountedView {
  readonly path: string;
  readonly users: number;
  /** The layer's own directory is the view: nothing is mounted. */
  readonly inPlace: boolean;
}

type WhenBusy = 'report' | 'detach';

export class LayerViews {
  readonly #views = new Map<LayerId, CountedView>();
  /** The last work on each view: what changes the same one waits for it. */
  readonly #turns = new Turns<LayerId>();

  constructor(
    private readonly driver: GraphDriver,
    private readonly mounter: Mounter,
  ) {}

  /**
   * Makes the view of a layer, or counts one more user of it.
   * @returns the path of the view, the same for every user
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_MOUNT_FAILED, ERR_BUSY when something else is mounted there
   */
  async get(id: LayerId, options: PlanOptions = {}): Promise<string> {
    return this.#turns.take(parseLayerId(id), async () => {
      const known = this.#known(id);
      const path = isKept(known, options) ? known.path : await this.#mount(id, options);
      const users = (known?.users ?? 0) + 1;
      this.#views.set(id, { path, users, inPlace: path !== this.driver.mountPoint(id) });
      return path;
    });
  }

  /**
   * Lets go of a view; the last unmounts it. A surplus call is no error.
   * @throws StoreError ERR_BUSY when somebody works in the view; it stays mounted and counted
   */
  async put(id: LayerId): Promise<void> {
    await this.#turns.take(parseLayerId(id), async () => {
      const known = this.#known(id);
      if (known === undefined) return;
      if (known.users > 1) this.#views.set(id, { ...known, users: known.users - 1 });
      else await this.#unmount(id);
    });
  }

  /** {@link get} for the time of a block. */
  async lease(id: LayerId, options: PlanOptions = {}): Promise<ViewLease> {
    const path = await this.get(id, options);
    return { path, [Symbol.asyncDispose]: () => this.put(id) };
  }

  /** Mounts a view without counting, for those that count elsewhere. */
  async mount(id: LayerId, options: PlanOptions = {}): Promise<string> {
    return this.#turns.take(parseLayerId(id), () => this.#mount(id, options));
  }

  /** Unmounts a view whoever uses it; one that is not mounted is no error. @throws StoreError ERR_BUSY */
  async unmount(id: LayerId): Promise<void> {
    await this.#turns.take(parseLayerId(id), () => this.#unmount(id));
  }

  /**
   * Unmounts a view, whoever counts as its user, and removes the layer: what engines mean by removing. An absent id is no
   * error.
   * @throws StoreError ERR_BUSY with the mounts and processes that hold it; nothing is removed then
   */
  async remove(id: LayerId): Promise<void> {
    await this.#turns.take(parseLayerId(id), async () => {
      await this.#unmount(id);
      await this.driver.remove(id);
    });
  }

  /**
   * Unmounts every view of the home, at a daemon's end or after a crash: also those of other processes, and those that
   * somebody uses, who keeps what he has open. Every view is tried; the errors come in the end, as one.
   */
  async cleanup(): Promise<void> {
    const errors = await failures(
      (await this.#mountedIds()).map((id) => this.#turns.take(parseLayerId(id), () => this.#takeAway(id, 'detach'))),
    );
    errors.push(...(await failures(this.#strayMounts().map((point) => this.mounter.detach(point)))));
    const [first, ...others] = errors;
    if (first === undefined) return;
    if (others.length === 0) throw first;
    throw new StoreError(first.code, errors.map((error) => error.message).join('; '), {
      subject: this.driver.home,
      cause: new AggregateError(errors),
    });
  }

  /** The users that are known here, or the one unknown user of a view that is mounted all the same. */
  #known(id: LayerId): CountedView | undefined {
    const known = this.#views.get(id);
    if (known !== undefined) return known;
    const path = this.driver.mountPoint(id);
    return this.mounter.isMounted(path) ? { path, users: 1, inPlace: false } : undefined;
  }

  async #mount(id: LayerId, options: PlanOptions): Promise<string> {
    try {
      const plan = await this.driver.openView(id, options);
      const adoption = options.readOnly === true ? 'exact' : 'also-writable';
      return await this.mounter.mount(plan, this.driver.mountPoint(id), adoption);
    } catch (error) {
      await this.#closeUnused(id, error);
      throw error;
    }
  }

  /** After a failure: the driver's side is closed again, unless the view is there for others. */
  async #closeUnused(id: LayerId, error: unknown): Promise<void> {
    if (hasCode(error, 'ERR_LAYER_NOT_FOUND') || this.#known(id) !== undefined) return;
    try {
      await this.driver.closeView(id);
    } catch (second) {
      const [first, besides] = [fromSystemError(error), fromSystemError(second)];
      throw new StoreError(first.code, `${first.message}; besides, the view was not closed: ${besides.message}`, {
        cause: new AggregateError([error, second]),
      });
    }
  }

  async #unmount(id: LayerId): Promise<void> {
    await this.#takeAway(id, 'report');
  }

  async #takeAway(id: LayerId, whenBusy: WhenBusy): Promise<void> {
    const point = this.driver.mountPoint(id);
    const byProgram = this.mounter.mountOn(point)?.type.startsWith('fuse') === true;
    await (whenBusy === 'report' ? this.mounter.unmount(point) : this.mounter.detach(point));
    this.#views.delete(id);
    if (byProgram) await this.mounter.tidy(await this.driver.plan(id));
    await this.driver.closeView(id);
  }

  /** Layers with something on their mount point, or counted here. */
  async #mountedIds(): Promise<LayerId[]> {
    const ids = new Set([...(await this.driver.list()), ...this.#views.keys()]);
    return [...ids].filter((id) => this.#known(id) !== undefined);
  }

  /** What is mounted in the home and belongs to no layer any more; with it goes what is mounted inside. */
  #strayMounts(): string[] {
    const { home, state } = this.driver;
    const isOpenedReadOnly = !state.startsWith(`${home}/`);
    // The mounts in a home that is only read are those of the engine that it belongs to.
    const place = isOpenedReadOnly ? join(state, 'views') : home;
    const below = this.mounter.mountsBelow(place).filter(({ mountPoint }) => mountPoint !== place);
    const strays = below.filter(({ mountPoint }) => !mountPoint.startsWith(`${home}/.layerstore/`));
    const inside = new Set(strays.flatMap((outer) => mountsBelow(strays, outer.mountPoint).slice(1)));
    return [...new Set(strays.filter((stray) => !inside.has(stray)).map(({ mountPoint }) => mountPoint))];
  }
}

/** Users of a layer's own directory keep it, also when the layer has had a child since and would be mounted now. */
function isKept(known: CountedView | undefined, options: PlanOptions): known is CountedView {
  return known?.inPlace === true && options.readOnly !== true;
}

async function failures(work: readonly Promise<void>[]): Promise<StoreError[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [fromSystemError(outcome.reason)] : []));
}
