import { StoreError, type LayerId } from '@layerstore/core';
import type { GraphDriver } from '@layerstore/drivers';

/** Which layer of a home lies on which, as the records of the home tell. */
export class LayerStacks {
  private constructor(
    private readonly parents: Map<LayerId, LayerId | undefined>,
    /** Why the parent of a layer cannot be told. */
    readonly damaged: ReadonlyMap<LayerId, string>,
  ) {}

  /** Cost: a few small reads for each layer. */
  static async read(driver: GraphDriver): Promise<LayerStacks> {
    const parents = new Map<LayerId, LayerId | undefined>();
    const damaged = new Map<LayerId, string>();
    for (const id of (await driver.list()).sort()) {
      try {
        parents.set(id, await driver.parent(id));
      } catch (error) {
        if (!StoreError.is(error)) throw error;
        // Removed since it was listed.
        if (error.code === 'ERR_LAYER_NOT_FOUND') continue;
        parents.set(id, undefined);
        damaged.set(id, error.message);
      }
    }
    return new LayerStacks(parents, damaged);
  }

  /** Sorted by id. */
  get layers(): LayerId[] {
    return [...this.parents.keys()];
  }

  parentOf(id: LayerId): LayerId | undefined {
    return this.parents.get(id);
  }

  /** The layers under `id`, its parent first. Ends where hostile records lead in a circle. */
  ancestorsOf(id: LayerId): LayerId[] {
    const seen = new Set<LayerId>();
    for (let next = this.parentOf(id); next !== undefined && !seen.has(next); next = this.parentOf(next))
      seen.add(next);
    return [...seen];
  }

  /** @throws StoreError ERR_LAYER_HAS_CHILDREN */
  requireChildless(id: LayerId): void {
    const children = this.layers.filter((layer) => this.parentOf(layer) === id);
    if (children.length === 0) return;
    const shown = children.slice(0, 3).join(', ') + (children.length > 3 ? ` and ${children.length - 3} more` : '');
    throw new StoreError('ERR_LAYER_HAS_CHILDREN', `it lies under ${shown}`, {
      subject: id,
      hint: 'remove the layers above it first',
    });
  }

  /** The same layers, none before one that lies on it. */
  uppermostFirst(ids: readonly LayerId[]): LayerId[] {
    const depth = (id: LayerId): number => this.ancestorsOf(id).length;
    return ids
      .map((id) => [depth(id), id] as const)
      .sort(([one], [other]) => other - one)
      .map(([, id]) => id);
  }

  forget(id: LayerId): void {
    this.parents.delete(id);
  }
}
