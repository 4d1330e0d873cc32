import type { LayerId } from '@layerstore/core';
import { LayerRecords, type LowerLayer } from './layer-records.js';

/**
 * Records that are read and compared once per layer: the lowers and the short name of a layer never change while it exists, and
 * a stack of 128 layers is some 400 small reads. Cost: about 20 kB of memory for each layer at that depth, less above shared lowers.
 */
export class RememberedRecords extends LayerRecords {
  readonly #lowers = new Map<LayerId, readonly LowerLayer[]>();
  readonly #shortNames = new Map<LayerId, string>();
  readonly #committed = new Set<LayerId>();

  override lowers(id: LayerId): LowerLayer[] {
    const known = this.#lowers.get(id);
    if (known !== undefined) {
      this.requireLayer(id);
      return [...known];
    }
    const lowers = super.lowers(id);
    this.#lowers.set(id, lowers);
    return [...lowers];
  }

  override shortName(id: LayerId): string {
    const known = this.#shortNames.get(id);
    if (known !== undefined) return known;
    const name = super.shortName(id);
    this.#shortNames.set(id, name);
    return name;
  }

  override markCommitted(id: LayerId): void {
    if (this.#committed.has(id)) return;
    super.markCommitted(id);
    this.#committed.add(id);
  }

  override remember(id: LayerId, shortName: string, lowers: readonly LowerLayer[]): void {
    this.#shortNames.set(id, shortName);
    this.#lowers.set(id, lowers);
  }

  override forget(id: LayerId): void {
    this.#committed.delete(id);
    this.#lowers.delete(id);
    this.#shortNames.delete(id);
  }
}
