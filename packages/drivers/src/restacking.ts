/**
 * What a driver offers to whoever makes its views over other directories than those of its own layers: thin layers stand for
 * directories of a repository.
 */
import type { LayerTree } from '@layerstore/archive';
import type { LayerId } from '@layerstore/core';
import type { MountPlan } from '@layerstore/linux';
import type { GraphDriver, PlanOptions } from './driver.js';
import type { Readiness } from './shadows/shaded-plans.js';

/** A layer of the home and its directory. */
export interface PlacedLayer {
  readonly kind: 'own';
  readonly id: LayerId;
  readonly tree: LayerTree;
}

/** A directory that is no layer of the home, but shall lie in a stack. Nobody writes into it. */
export interface ForeignLayer {
  readonly kind: 'foreign';
  readonly tree: LayerTree;
  /** Absolute path of a directory for what is noted of it. */
  readonly notes: string;
  /** Another one says that its content is another. */
  readonly identity: string;
}

export interface RestackingDriver extends GraphDriver {
  /**
   * The layers under `id` with their directories, uppermost first.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
   */
  layersUnder(id: LayerId): Promise<readonly PlacedLayer[]>;

  /** The directory of one layer. @throws StoreError ERR_LAYER_NOT_FOUND */
  treeOf(id: LayerId): Promise<LayerTree>;

  /**
   * The plan of a layer's view over `lowers`, uppermost first, in place of the layers under it. Where they are to be `made`, everything
   * on disk that the mount needs is there on return, as after {@link GraphDriver.openView}.
   * Directories in aufs form have their deletions translated by shadow layers.
   */
  planOver(
    id: LayerId,
    lowers: readonly (PlacedLayer | ForeignLayer)[],
    options: PlanOptions,
    readiness: Readiness,
  ): Promise<MountPlan>;
}
