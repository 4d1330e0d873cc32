/**
 * The graph-driver contract.
 *
 * ## Words
 * A *layer* is a directory tree of changes over its *parent*. Its *id* names it inside one driver *home*; ids are random
 * or chosen by an engine and say nothing about content. A *stack* is a layer with all its ancestors. A *view* is what a
 * program sees when the stack is mounted.
 *
 * ## The story of a layer
 * *Pull.* An image of two layers arrives. `create(base)` makes an empty layer, `applyTarget(base)` says where the
 * archive code unpacks the first tar, and after `finishApply(base)` the layer is complete. `create(second, { parent: base })` does the same above it; from
 * then on `base` has a child and must not change.
 *
 * *Container.* `createReadWrite(box, { parent: second })` makes an empty writable layer. `plan(box)` describes its mount: lowers
 * `second` and `base`, upper `box`. The driver does not mount: `LayerViews` calls `openView(box)`, has the mounter in
 * `@layerstore/linux` perform the plan on `mountPoint(box)`, counts who uses it, and after the last unmounts it and calls `closeView(box)`. Programs write into the view; the kernel puts
 * what they change into the upper.
 *
 * *Commit.* `diffSource(box, second)` names the trees to compare. The archive code writes the differences as a tar, which
 * is applied to a third layer, created over `second`. The tar's digest is the layer's diff ID.
 *
 * *Remove.* `remove(box)` refuses while the view is mounted, otherwise renames the layer away in one step and deletes it. `second` can go only when
 * nothing is stacked on it; the caller, who knows the parents, sees to that order.
 *
 * ## Rules for every driver
 * - Ids are checked before they near a path ({@link parseLayerId}); anything else is ERR_INVALID_ID.
 * - A method that fails leaves nothing half made; kill -9 leaves only what {@link GraphDriver.cleanup} or the next open collects.
 * - The driver keeps its on-disk format byte-compatible with Docker's driver of the same name. Whatever is layerstore's own
 *   lives in {@link GraphDriver.state} and can be deleted without loss.
 * - Into a home that was opened read-only nothing is written, not even a repair: its views are read-only and mounted elsewhere; what
 *   would change a layer is ERR_READ_ONLY.
 * - What a driver can do is said in {@link Abilities}, never found out by a failing call.
 */
import type { DiffSource, LayerTree } from '@layerstore/archive';
import type { IdMaps, LayerId, Owner } from '@layerstore/core';
import type { MountPlan } from '@layerstore/linux';

export interface GraphDriver {
  /** `overlay2`, `vfs`, ...: the name that Docker uses. */
  readonly name: string;
  /** Absolute path of the directory that this driver owns. */
  readonly home: string;
  /**
   * Absolute path of the directory for what is layerstore's own: `<home>/.layerstore`, or `/run/layerstore/<hash>` for a
   * home that was opened read-only.
   */
  readonly state: string;
  readonly abilities: Abilities;
  /** Owners in layers and views are the host's under these maps, and archives hold the container's; absent where they are equal. */
  readonly idMaps?: IdMaps | undefined;

  /**
   * Makes an empty layer over `parent`. Its root has the mode, owner and extended attributes of the parent's root; 0755 of
   * root without a parent. Durable on return.
   * Doing it again with the same parent over an untouched layer succeeds.
   * Cost: a few directories (overlay2); a copy of the parent's tree, by reflink where possible (vfs).
   * @throws StoreError ERR_EXISTS when the id is taken by a layer with another parent or with content
   * @throws StoreError ERR_LAYER_NOT_FOUND for an unknown parent; nothing is left behind
   * @throws StoreError ERR_MAX_DEPTH when the stack could not be mounted
   * @throws StoreError ERR_READ_ONLY, as {@link createReadWrite} and {@link remove} do
   */
  create(id: LayerId, options?: CreateOptions): Promise<void>;

  /** The same for a container's writable layer; only here may `storageOptions` be passed. */
  createReadWrite(id: LayerId, options?: CreateReadWriteOptions): Promise<void>;

  /**
   * Makes whole again what a power cut took of a layer that was created `unsynced` with these options: its directories and records, not
   * files that were written into it. A sound layer stays as it is. Durable on return.
   * @throws StoreError ERR_LAYER_NOT_FOUND for an unknown parent
   */
  restore(id: LayerId, options?: CreateReadWriteOptions): Promise<void>;

  /**
   * Deletes a layer. An absent id is no error. The layer disappears by one rename; deleting its content may follow
   * slowly (cost: one unlink per file).
   * @throws StoreError ERR_BUSY with the mounts and processes that hold it
   */
  remove(id: LayerId): Promise<void>;

  exists(id: LayerId): Promise<boolean>;

  /**
   * The layer that this one was made over; `undefined` for a base layer, and for every layer where the home keeps no
   * record of parents (vfs). Cost: a few small reads.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
   */
  parent(id: LayerId): Promise<LayerId | undefined>;

  /** Every layer in the home, in no order; what else lies there is left out. Cost: one directory listing. */
  list(): Promise<LayerId[]>;

  /** What `docker inspect` shows as GraphDriver.Data: absolute paths by Docker's key names. */
  metadata(id: LayerId): Promise<Readonly<Record<string, string>>>;

  /** Facts for `info`, Docker's keys first. */
  status(): Promise<readonly (readonly [string, string])[]>;

  /**
   * How to make the view of a layer. Also one made by {@link create} is writable until it has a child, because engines
   * write into new layers through their view; `readOnly` asks for a view that takes no writes.
   * Costs a few small reads; mounts nothing.
   * @throws StoreError ERR_LAYER_NOT_FOUND
   * @throws StoreError ERR_STORE_DAMAGED when the records of the stack are lost or contradict each other
   */
  plan(id: LayerId, options?: PlanOptions): Promise<MountPlan>;

  /**
   * {@link plan} with everything done on disk that the mount needs: aufs on a kernel without aufs translates the layer's
   * whiteouts. Called before every mount, also when the view is mounted already; most drivers have nothing to do.
   * @throws StoreError as {@link plan} does, ERR_NO_SPACE
   */
  openView(id: LayerId, options?: ViewOptions): Promise<MountPlan>;

  /**
   * Takes back what {@link openView} did for the view on {@link mountPoint}, or for the `use` of that name, which is unmounted
   * now. Idempotent.
   */
  closeView(id: LayerId, use?: string): Promise<void>;

  /** Where the mounter puts the view: created on mount, removed (only when empty) on unmount. */
  mountPoint(id: LayerId): string;

  /** Where the archive code unpacks a layer's tar. @throws StoreError ERR_LAYER_NOT_FOUND, ERR_READ_ONLY */
  applyTarget(id: LayerId): Promise<ApplyTarget>;

  /**
   * Called when an archive has been unpacked into {@link applyTarget} and settled, and before the layer gets a child. The view
   * is the same before and after. Most drivers have nothing to do; overlay gives the layer its complete tree. Durable on
   * return, idempotent, and nothing is lost where it never happens.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_BUSY, ERR_NO_SPACE
   * @throws StoreError ERR_MALFORMED_THIN_LAYER, ERR_UNSUPPORTED_FORMAT, ERR_MAX_DEPTH for a thin layer that cannot be shown
   */
  finishApply(id: LayerId): Promise<void>;

  /**
   * The trees whose difference is the layer's content over `parent`, without mounting anything; `undefined` where they
   * can only be compared through their views (then {@link layerDiffs} mounts both).
   * @throws StoreError ERR_LAYER_NOT_FOUND
   */
  diffSource(id: LayerId, parent: LayerId | undefined): Promise<DiffSource | undefined>;

  /**
   * Keeps the trees that {@link diffSource} and {@link applyTarget} name under `id` readable until it is disposed of, and is to
   * be held while they are read. Most drivers have nothing to do; those of thin layers open repositories.
   * @throws StoreError ERR_NOT_SUPPORTED for an `archive` of a layer whose content would be taken for something else
   */
  hold(id: LayerId, purpose: HoldPurpose): Promise<AsyncDisposable>;

  /** Finishes or sweeps what an interrupted process left in the home. Idempotent; called on open and on shutdown. */
  cleanup(): Promise<void>;

  /**
   * Lets go of the locks and descriptors that the driver holds for open views, as the end of the process would. What is mounted stays
   * mounted, and is taken up by the next driver on the home. To be called once, last.
   */
  [Symbol.dispose](): void;
}

export interface CreateOptions {
  readonly parent?: LayerId;
  /** SELinux label for the layer's mounts. */
  readonly mountLabel?: string;
}

/** Whether what was made is on disk when the call returns. */
export type Durability = 'synced' | 'unsynced';

export interface CreateReadWriteOptions extends CreateOptions {
  readonly storageOptions?: Readonly<Record<string, string>>;
  /**
   * `synced`, the default: on disk on return. `unsynced`: a power cut may take the layer or parts of its records, which costs no wait
   * for the disk; for callers that record it themselves and call {@link GraphDriver.restore} after a restart of the machine. A
   * driver whose layers are copies syncs anyway.
   */
  readonly durability?: Durability;
  /** Attributes of the layer's own root in place of the parent's. A driver whose layers are copies keeps those of the copy. */
  readonly root?: RootAttributes;
}

export interface RootAttributes {
  /** Without type bits. */
  readonly mode: number;
  /** Gives the owner, from the one that the root would have without: the parent root's, or who owns new base layers; default: that one. */
  readonly owner?: (inherited: Owner) => Owner;
}

export interface PlanOptions {
  readonly mountLabel?: string;
  readonly readOnly?: boolean;
}

/** `comparison`: changes and sizes. `archive`: the difference becomes a layer of its own. `apply`: an archive is completed. */
export type HoldPurpose = 'comparison' | 'archive' | 'apply';

export interface ViewOptions extends PlanOptions {
  /** Given where the view is mounted elsewhere than on {@link GraphDriver.mountPoint}. */
  readonly use?: ViewUse;
}

/** A view that somebody mounts elsewhere. */
export interface ViewUse {
  /** Tells it from others of the layer: 1 to 64 bytes of `[A-Za-z0-9._-]`. */
  readonly name: string;
  /** `process`: it ends with this process at the latest. `persistent`: it lasts until {@link GraphDriver.closeView} or removal. */
  readonly lifetime: 'process' | 'persistent';
}

/** The layer's own tree, and the trees under it that a hard link or an implied directory may refer to. */
export interface ApplyTarget {
  readonly tree: LayerTree;
  /** Uppermost first. Empty where `tree` is complete. */
  readonly lowers: readonly LayerTree[];
  /** Set where the tree is not empty, so that an archive can be applied through the mounted view only. */
  readonly through?: 'view';
}

export interface Abilities {
  /** Layers can be unpacked in any order, before their parents have content. */
  readonly independentLayers: boolean;
  /** The difference to the direct parent is read from the layer's own directory, at a cost that ignores lower layers. */
  readonly nativeDiff: boolean;
  /**
   * What sizes of layers mean, as in Docker's driver of this name. `lstat`: `st_size` of everything in the layer's own
   * directory but directories, each inode once; after an apply as well. `tar-headers`: the same sum over what differs
   * from the parent; after an apply the sizes in the tar's headers.
   */
  readonly sizeRule: 'lstat' | 'tar-headers';
  /** `size=` of `storageOptions` is enforced. */
  readonly quota: boolean;
  /** Layers may stand for others: what lies over one does not show the layer itself, and may need a network. */
  readonly lazy: boolean;
  /** Greatest number of layers in one stack; `Infinity` where nothing limits it. */
  readonly maxDepth: number;
}
