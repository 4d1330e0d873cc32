import type { LayerId } from '@layerstore/core';
import { LayerRecords, type LowerLayer } from './layer-records.js';

/**
 * Records that are read and compared once per layer: the lowers and the short name of a layer never change while it exists, and
 * a stack of 128 layers is some 400 small reads. Cost: about 20 kB of memory for each layer at that depth, less above shared lowers.
 */
export class RememberedRecords extends LayerRecords {
  readonly #lowers = new Map<LayerId, readonly LowerLayer[]>();
  readonly #shortNames = new Map<LayerId, string>();

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

  override remember(id: LayerId, shortName: string, parent: LayerId | undefined): void {
    this.#shortNames.set(id, shortName);
    const below =
      parent === undefined ? [] : [{ id: parent, shortName: this.shortName(parent) }, ...this.lowers(parent)];
    this.#lowers.set(id, below);
  }

  override forget(id: LayerId): void {
    this.#lowers.delete(id);
    this.#shortNames.delete(id);
  }
}
