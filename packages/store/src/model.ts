/**
 * The records that the store hands out. They are plain, readonly and safe for `JSON.stringify`: sizes are numbers of
 * bytes, times are ISO 8601 strings. `--json` of the command line prints exactly these.
 */
import type { ChainId, DiffId, Digest, LayerId } from '@layerstore/core';

export interface LayerSummary {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent?: ChainId;
  /** Name of the layer's directory in the driver home. */
  readonly cacheId: LayerId;
  /** Bytes of file content that the layer adds. */
  readonly size: number;
  /** Bytes of the layer's uncompressed tar. */
  readonly tarSize: number;
  readonly createdAt: string;
}

export interface ImageSummary {
  /** Digest of the config. */
  readonly id: Digest;
  /** Familiar names (`debian:12`); empty for a dangling image. */
  readonly references: readonly string[];
  readonly createdAt: string;
  /** Sum of its layers' sizes. */
  readonly size: number;
  readonly layers: number;
  readonly os: string;
  readonly architecture: string;
  /** Set when a record of this image cannot be read: the image is listed, its use fails with ERR_STORE_DAMAGED. */
  readonly damaged?: string;
}

export interface ImageDetails extends ImageSummary {
  readonly chainId?: ChainId;
  readonly layerList: readonly LayerSummary[];
  /** The image config, as stored (OCI image-spec, config.md). */
  readonly config: unknown;
  readonly manifestDigest?: Digest;
}

export interface HistoryEntry {
  readonly createdAt?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly emptyLayer: boolean;
  /** Absent for an empty layer. */
  readonly diffId?: DiffId;
  readonly size: number;
}

export interface LoadedLayer {
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  readonly size: number;
  /** The store had it: nothing was unpacked. */
  readonly present: boolean;
}

export interface LoadedImage {
  readonly id: Digest;
  readonly references: readonly string[];
  readonly layers: readonly LoadedLayer[];
}

export interface PulledImage extends LoadedImage {
  /** Of what the reference names in the registry: the index, where there is one. */
  readonly digest: Digest;
}

export interface PushedImage {
  readonly id: Digest;
  /** Familiar name under which the registry has it now. */
  readonly reference: string;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly layers: readonly PushedLayer[];
}

export interface PushedLayer {
  readonly diffId: DiffId;
  /** Of the blob in the registry. */
  readonly digest: Digest;
  readonly size: number;
  /** `foreign`: registries do not hold it, the manifest says where it is. */
  readonly outcome: 'present' | 'mounted' | 'uploaded' | 'foreign';
}

export interface RemovedImage {
  readonly untagged: readonly string[];
  /** The image's id, when its last name went, then the chain IDs of layers that nothing else needs. */
  readonly deleted: readonly Digest[];
}

export interface ContainerSummary {
  readonly id: LayerId;
  readonly name: string;
  readonly image: Digest;
  /** The name by which the image was given. */
  readonly imageReference: string;
  readonly createdAt: string;
  /** Path of the view while it is mounted. */
  readonly mountedAt?: string;
  readonly kind: 'container' | 'workspace';
  /** Set when the record cannot be read: it is listed, and can only be removed by force. */
  readonly damaged?: string;
}

export interface ContainerDetails extends ContainerSummary {
  readonly chainId?: ChainId;
  readonly references: number;
  /** Driver data, as `docker inspect` shows it. */
  readonly graphDriver: { readonly name: string; readonly data: Readonly<Record<string, string>> };
}

export type SnapshotKind = 'view' | 'active' | 'committed';

/** A moment, as nanoseconds after a second since 1970. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface SnapshotSummary {
  /** Of this root, never given out twice. */
  readonly id: number;
  /** The server and snapshotter that made it; only through that owner it is seen and removed. */
  readonly owner: string;
  /** The key of an active snapshot or view, the name of a committed one; opaque. */
  readonly key: string;
  readonly kind: SnapshotKind;
  /** Key of the snapshot under it. */
  readonly parent?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly created: Timestamp;
  readonly updated: Timestamp;
  /** Set when a layer of the store stands for it. */
  readonly chainId?: ChainId;
  /** Its directory in the driver home, unless a layer or its parent's view stands for it. */
  readonly cacheId?: LayerId;
}

/** What a snapshot takes by itself: allocated bytes, hard links once. */
export interface SnapshotUsage {
  readonly size: number;
  readonly inodes: number;
}

/** One line of `diff`: `path` is absolute in the view; bytes that are not UTF-8 are kept in `pathBytes` (base64). */
export interface PathChange {
  readonly kind: 'add' | 'modify' | 'delete';
  readonly path: string;
  readonly pathBytes?: string;
}

export interface StoreInfo {
  readonly version: string;
  readonly root: string;
  readonly driver: string;
  readonly driverStatus: readonly (readonly [string, string])[];
  readonly database: 'node:sqlite' | 'libsql';
  readonly layers: number;
  readonly images: number;
  readonly containers: number;
  readonly workspaces: number;
  readonly snapshots: number;
  readonly mounts: number;
}

export interface DiskUsage {
  readonly images: UsageRow;
  readonly layers: UsageRow;
  readonly containers: UsageRow;
  readonly workspaces: UsageRow;
  /** What engines made; a snapshot that is answered from a layer takes no room of its own. */
  readonly snapshots: UsageRow;
  readonly blobs: UsageRow;
  /** Left by interrupted work, not in use by any process. */
  readonly staging: UsageRow;
}

export interface UsageRow {
  readonly count: number;
  readonly active: number;
  readonly size: number;
  readonly reclaimable: number;
}

export interface Finding {
  readonly kind: 'layer' | 'image' | 'container' | 'snapshot' | 'mount' | 'blob' | 'home' | 'staging' | 'database';
  readonly subject: string;
  readonly problem: string;
  /** What `prune` or the reader can do about it. */
  readonly remedy: string;
}

export interface CheckReport {
  readonly sound: boolean;
  readonly findings: readonly Finding[];
  /** Leftovers of interrupted work: harmless, taken by `prune`. */
  readonly leftovers: readonly Finding[];
  readonly checked: {
    readonly layers: number;
    readonly images: number;
    readonly containers: number;
    readonly snapshots: number;
    readonly verified: number;
  };
}

export interface PruneReport {
  readonly images: readonly Digest[];
  readonly layers: readonly ChainId[];
  readonly staging: number;
  readonly reclaimed: number;
}
