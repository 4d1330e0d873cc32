import type { StoreContext } from '../context.js';
import type { SnapshotSummary, SnapshotUsage } from '../model.js';
import type { AdoptOptions } from './adopt.js';
import type { CommitSnapshotOptions } from './commit.js';
import type * as operations from './operations.js';
import type { OrphanOptions } from './orphans.js';
import type { PreparedSnapshot, PrepareOptions, SnapshotLayer, SnapshotMount } from './prepare.js';
import type { Recovery } from './recover.js';
import type { Labels } from './snapshot-records.js';
import type { LabelChange } from './update.js';
import type { SnapshotWriter } from './writer.js';

export interface SnapshotPage {
  /** Default: every owner's. */
  readonly owner?: string;
  /** The id of the last snapshot that was read; default: from the first. */
  readonly after?: number;
  readonly limit?: number;
}

type Operations = typeof operations;

/**
 * Snapshots: what an engine such as containerd makes of a root. An *active* snapshot is a writable layer, a *view* a read-only one, a
 * *committed* one is what others stand on. Each belongs to one owner; nothing of one owner is seen or touched through another, and images,
 * containers and layers of the store are never snapshots. Nothing is mounted here: calls return {@link SnapshotMount}s.
 */
export class Snapshots {
  #loaded: Promise<Operations> | undefined;
  #opened: Promise<SnapshotWriter> | undefined;

  constructor(private readonly context: StoreContext) {}

  /**
   * Makes an active snapshot. Its record is durable on return; its directory is made again after a power cut, without what was
   * written into it and not synced.
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND for the parent, ERR_INVALID_ARGUMENT for a parent that is not committed
   * @throws StoreError ERR_EXISTS, ERR_MAX_DEPTH
   */
  async prepare(options: PrepareOptions): Promise<PreparedSnapshot> {
    const { prepareSnapshot } = await this.#operations();
    return prepareSnapshot(await this.#writer(), 'active', options);
  }

  /** Makes a read-only view of a committed snapshot, or of an empty directory. @throws StoreError as {@link Snapshots.prepare} */
  async view(options: PrepareOptions): Promise<PreparedSnapshot> {
    const { prepareSnapshot } = await this.#operations();
    return prepareSnapshot(await this.#writer(), 'view', options);
  }

  /**
   * Commits a snapshot that a layer of the store stands for: nothing is fetched, unpacked or copied.
   * @returns false when the store does not have the layer over this parent
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_INVALID_ARGUMENT for the parent
   */
  async adopt(options: AdoptOptions): Promise<boolean> {
    const { adoptLayer } = await this.#operations();
    return adoptLayer(await this.#writer(), options);
  }

  /**
   * How an active snapshot or view is mounted: the same answer as when it was made. Cost: a few small reads.
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_WRONG_KIND for a committed one
   */
  async mounts(owner: string, key: string): Promise<SnapshotMount> {
    const { snapshotMount } = await this.#operations();
    return snapshotMount(this.context, owner, key);
  }

  /**
   * Turns an active snapshot into a committed one, which never changes again. Whoever has it mounted may unmount later, but writes no
   * more. Cost: writing its data to disk, and one record; its size is measured afterwards.
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_EXISTS for the name, ERR_WRONG_KIND, ERR_NO_SPACE, ERR_IO
   */
  async commit(options: CommitSnapshotOptions): Promise<void> {
    const { commitSnapshot } = await this.#operations();
    await commitSnapshot(await this.#writer(), options);
  }

  /**
   * Removes a snapshot: its key is free at once, its directory is deleted later. A layer of the store that stood for it stays.
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_HAS_CHILDREN
   */
  async remove(owner: string, key: string): Promise<void> {
    const { removeSnapshot } = await this.#operations();
    await removeSnapshot(await this.#writer(), owner, key);
  }

  /** @throws StoreError ERR_SNAPSHOT_NOT_FOUND */
  async stat(owner: string, key: string): Promise<SnapshotSummary> {
    const { requireSnapshot, snapshotSummary } = await this.#operations();
    return snapshotSummary(requireSnapshot(this.context.database, owner, key));
  }

  /** Applies changes of labels in order. @throws StoreError ERR_SNAPSHOT_NOT_FOUND */
  async update(owner: string, key: string, changes: readonly LabelChange[]): Promise<SnapshotSummary> {
    const { snapshotSummary, updateSnapshot } = await this.#operations();
    return snapshotSummary(await updateSnapshot(await this.#writer(), owner, key, changes));
  }

  /** Snapshots in the order of their making. */
  async list(page: SnapshotPage = {}): Promise<SnapshotSummary[]> {
    const { listSnapshots, snapshotSummary } = await this.#operations();
    return listSnapshots(this.context.database, page).map(snapshotSummary);
  }

  /**
   * What a snapshot takes by itself, its parents left out. Cost: for a committed one a record, otherwise a walk of its own files in
   * a worker; a walk that took long is answered from memory for a while.
   * @throws StoreError ERR_SNAPSHOT_NOT_FOUND, ERR_IO
   */
  async usage(owner: string, key: string): Promise<SnapshotUsage> {
    return (await this.#writer()).usages.of(owner, key);
  }

  /**
   * Active snapshots and views of all owners that no process of this machine has mounted, in any mount namespace, and that nobody has
   * changed for a while: what engines have forgotten, perhaps. Cost: one read of the mount table of each namespace.
   */
  async orphans(options: OrphanOptions = {}): Promise<SnapshotSummary[]> {
    const { orphanedSnapshots } = await this.#operations();
    return orphanedSnapshots(this.context, options);
  }

  /** Waits until the directories of removed snapshots are deleted, those in use excepted. @throws StoreError ERR_ABORTED */
  async cleanup(signal?: AbortSignal): Promise<void> {
    await (await this.#opened)?.deletions.settle(signal);
  }

  /** Directories of removed snapshots that still wait to be deleted by this process. */
  async deletionsDue(): Promise<number> {
    return (await this.#opened)?.deletions.waiting ?? 0;
  }

  /**
   * What a server does before its first request: collects what dead processes left, makes directories whole that a power cut took
   * apart, and goes on measuring.
   * @param layerOf gives what an active snapshot with these labels was made with
   */
  async recover(layerOf: (labels: Labels) => SnapshotLayer = () => ({})): Promise<Recovery> {
    const { recoverSnapshots } = await this.#operations();
    return recoverSnapshots(await this.#writer(), layerOf);
  }

  /** Ends what runs in the background. Part of closing the store. */
  async close(): Promise<void> {
    const writer = await this.#opened;
    this.#opened = undefined;
    await writer?.[Symbol.asyncDispose]();
  }

  #operations(): Promise<Operations> {
    this.#loaded ??= import('./operations.js');
    return this.#loaded;
  }

  #writer(): Promise<SnapshotWriter> {
    this.#opened ??= this.#operations().then(({ SnapshotWriter }) => SnapshotWriter.open(this.context));
    return this.#opened;
  }
}
