import type { LayerId } from '@layerstore/core';
import type { PlacedLayer } from '../restacking.js';
import type { ThinEntry } from './thin-file.js';
import type { ThinLayers } from './thin-layers.js';

/** A layer of a stack whose thin layers were replaced by what they stand for. */
export type ExpandedLayer = PlacedLayer | RepositoryLayer;

export interface RepositoryLayer {
  readonly kind: 'repository';
  readonly entry: ThinEntry;
}

/** What lies under a layer. */
export interface ExpandedStack {
  /** Uppermost first. */
  readonly layers: readonly ExpandedLayer[];
  /** Of its thin layers, each once; none in an ordinary stack. */
  readonly repositories: readonly string[];
}

/**
 * Builds a stack from the bottom: an ordinary layer adds its own directory; a thin layer adds, in its own order, those of its entries
 * that are not in the stack yet, because a `thin.json` may repeat the list of its parent.
 * @param layers uppermost first
 * @throws StoreError ERR_MALFORMED_THIN_LAYER, ERR_UNSUPPORTED_FORMAT, ERR_LIMIT_EXCEEDED of the first thin layer that is none
 */
export function expandStack(layers: readonly PlacedLayer[], thin: ThinLayers): ExpandedStack {
  const expanded: ExpandedLayer[] = [];
  const entries = new Map<string, ThinEntry>();
  for (const layer of [...layers].reverse()) {
    const file = thin.read(layer.id, layer.tree.path);
    if (file === undefined) expanded.push(layer);
    for (const entry of file?.entries ?? []) {
      if (entries.has(entry.url)) continue;
      entries.set(entry.url, entry);
      expanded.push({ kind: 'repository', entry });
    }
  }
  return {
    layers: expanded.reverse(),
    repositories: [...new Set([...entries.values()].map(({ repository }) => repository))].sort(),
  };
}

/** The ordinary layers of a stack. */
export function ordinaryLayers({ layers }: ExpandedStack): LayerId[] {
  return layers.flatMap((layer) => (layer.kind === 'own' ? [layer.id] : []));
}
