import { StoreError } from '@layerstore/core';
import type {
  LabelChange,
  Labels,
  LayerStore,
  PreparedSnapshot,
  SnapshotLayer,
  SnapshotSummary,
  SnapshotUsage,
} from '@layerstore/store';
import { snapshotFilter } from './filters/snapshot-filter.js';
import { claimedChainId, idMaps, snapshotLayer, snapshotRefLabel } from './labels.js';
import { apiMounts, type ApiMount } from './mounts.js';

/** So many snapshots travel in one message of a List. */
const blockSize = 100;

export interface PrepareCall {
  readonly owner: string;
  readonly key: string;
  /** Empty for none. */
  readonly parent: string;
  readonly labels: Labels;
}

export interface Prepared {
  readonly snapshot: SnapshotSummary;
  readonly mounts: readonly ApiMount[];
}

export interface CommitCall {
  readonly owner: string;
  readonly key: string;
  readonly name: string;
  readonly parent: string;
  readonly labels: Labels;
  readonly durability: 'synced' | 'unsynced';
}

export interface KeyCall {
  readonly owner: string;
  readonly key: string;
}

export interface ListCall {
  readonly owner: string;
  readonly filters: readonly string[];
  /** Id of the last snapshot of the block before; 0 at the start. */
  readonly after: number;
}

export interface ListBlock {
  readonly snapshots: readonly SnapshotSummary[];
  /** Where to go on; absent at the end. */
  readonly next?: number;
}

/** containerd's calls on one root; runs in the store's thread. Arguments and results are plain records. */
export class SnapshotCalls {
  constructor(private readonly store: LayerStore) {}

  /**
   * Makes an active snapshot. Where the labels say which layer is going to be unpacked into it, and the store has that layer, the layer is
   * committed instead: ERR_EXISTS then tells the unpacker to go on.
   */
  async prepare({ owner, key, parent, labels }: PrepareCall): Promise<Prepared> {
    await this.#answerWithLayer({ owner, key, parent, labels });
    const layer = this.#layer(labels);
    return preparedAs(await this.store.snapshots.prepare({ ...request({ owner, key, parent, labels }), layer }));
  }

  async view({ owner, key, parent, labels }: PrepareCall): Promise<Prepared> {
    idMaps(labels);
    return preparedAs(await this.store.snapshots.view(request({ owner, key, parent, labels })));
  }

  async mounts({ owner, key }: KeyCall): Promise<ApiMount[]> {
    return apiMounts(await this.store.snapshots.mounts(owner, key));
  }

  async commit({ owner, key, name, parent, labels, durability }: CommitCall): Promise<void> {
    if (parent !== '') await this.#refuseRebase(owner, key, parent);
    await this.store.snapshots.commit({ owner, key, name, labels, durability });
  }

  async remove({ owner, key }: KeyCall): Promise<void> {
    await this.store.snapshots.remove(owner, key);
  }

  async stat({ owner, key }: KeyCall): Promise<SnapshotSummary> {
    return this.store.snapshots.stat(owner, key);
  }

  async update({
    owner,
    key,
    changes,
  }: KeyCall & { readonly changes: readonly LabelChange[] }): Promise<SnapshotSummary> {
    return this.store.snapshots.update(owner, key, changes);
  }

  async usage({ owner, key }: KeyCall): Promise<SnapshotUsage> {
    return this.store.snapshots.usage(owner, key);
  }

  /** The next block of snapshots that match, read outside any transaction: other calls go on in between. */
  async list({ owner, filters, after }: ListCall): Promise<ListBlock> {
    const matches = snapshotFilter(filters);
    const found: SnapshotSummary[] = [];
    for (let last = after; ;) {
      const page = await this.store.snapshots.list({ owner, after: last, limit: blockSize });
      const end = page.at(-1);
      if (end === undefined) return { snapshots: found };
      last = end.id;
      for (const snapshot of page) if (matches(snapshot)) found.push(snapshot);
      if (found.length >= blockSize) return { snapshots: found, next: last };
    }
  }

  /** Waits for deletions, for `withinMs` at most: what is left goes on in the background. */
  async cleanup({ withinMs }: { readonly withinMs: number }): Promise<void> {
    const signal = AbortSignal.timeout(withinMs);
    try {
      await this.store.snapshots.cleanup(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async deletionsDue(): Promise<number> {
    return this.store.snapshots.deletionsDue();
  }

  async #answerWithLayer({ owner, parent, labels }: PrepareCall): Promise<void> {
    const chainId = claimedChainId(labels);
    if (chainId === undefined || labels[snapshotRefLabel] === undefined) return;
    const adopted = await this.store.snapshots.adopt({
      owner,
      chainId,
      labels,
      claimedChainId,
      ...(parent === '' ? {} : { parent }),
    });
    if (!adopted) return;
    throw new StoreError('ERR_EXISTS', 'the store has the layer, it is not fetched: already exists', {
      subject: chainId,
    });
  }

  #layer(labels: Labels): SnapshotLayer {
    const layer = snapshotLayer(labels);
    if (layer.rootOwner === undefined || this.store.driverName === 'overlay2') return layer;
    throw new StoreError('ERR_NOT_SUPPORTED', `${this.store.driverName} cannot map ids: its layers are copies`, {
      subject: 'id maps',
      hint: 'use a root with the driver overlay2',
    });
  }

  /** Layers that are unpacked without a parent and get one with Commit are for snapshotters that say so (`rebase`). */
  async #refuseRebase(owner: string, key: string, parent: string): Promise<void> {
    const snapshot = await this.store.snapshots.stat(owner, key);
    if (snapshot.parent === parent) return;
    throw new StoreError('ERR_NOT_SUPPORTED', 'a commit cannot give a snapshot another parent', {
      subject: `snapshot ${JSON.stringify(key)}`,
      hint: 'leave the capability "rebase" out of the configuration of the proxy plugin',
    });
  }
}

function preparedAs(prepared: PreparedSnapshot): Prepared {
  return { snapshot: prepared.snapshot, mounts: apiMounts(prepared) };
}

function request({ owner, key, parent, labels }: PrepareCall): {
  owner: string;
  key: string;
  labels: Labels;
  parent?: string;
} {
  return { owner, key, labels, ...(parent === '' ? {} : { parent }) };
}
