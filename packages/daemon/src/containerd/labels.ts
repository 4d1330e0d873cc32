/** Labels by which containerd and its clients tell a snapshotter more than the call itself says. */
import {
  checkIdMaps,
  hasCode,
  hostRoot,
  isDigest,
  nextChainId,
  StoreError,
  toHost,
  type ChainId,
  type IdMaps,
  type IdRange,
  type Owner,
} from '@layerstore/core';
import type { Labels, SnapshotLayer } from '@layerstore/store';

/** The chain ID that the snapshot will have; an unpacker sets it and takes `already exists` for "do not fetch this layer". */
export const snapshotRefLabel = 'containerd.io/snapshot.ref';
/** Since 2.3: the diff ID of the layer, and the chain ID of what is under it. */
const diffIdLabel = 'containerd.io/snapshot/diff-id';
const parentChainIdLabel = 'containerd.io/snapshot/parent-chain-id';
const uidMappingLabel = 'containerd.io/snapshot/uidmapping';
const gidMappingLabel = 'containerd.io/snapshot/gidmapping';
/** Since 2.4: the greatest size of a writable layer. */
const maxSizeLabel = 'containerd.io/snapshot/max-size';

/** The chain ID that labels claim; never taken from a key. */
export function claimedChainId(labels: Labels): ChainId | undefined {
  const ref = labels[snapshotRefLabel];
  if (isDigest(ref)) return ref;
  const diffId = labels[diffIdLabel];
  const parent = labels[parentChainIdLabel];
  if (!isDigest(diffId)) return undefined;
  return isDigest(parent) ? nextChainId(parent, diffId) : parent === undefined || parent === '' ? diffId : undefined;
}

/** How a container's ids lie in the host's, and the same as the labels have it. */
export interface LabelledIdMaps {
  readonly maps: IdMaps;
  readonly uidText: string;
  readonly gidText: string;
}

/** @throws StoreError ERR_INVALID_ARGUMENT for labels that are no maps, or one map without the other */
export function idMaps(labels: Labels): LabelledIdMaps | undefined {
  const [uidText, gidText] = [labels[uidMappingLabel], labels[gidMappingLabel]];
  if (uidText === undefined && gidText === undefined) return undefined;
  if (uidText === undefined || gidText === undefined) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'one of the two id maps is missing', {
      subject: `label ${uidText === undefined ? uidMappingLabel : gidMappingLabel}`,
    });
  }
  const maps = { uids: ranges(uidMappingLabel, uidText), gids: ranges(gidMappingLabel, gidText) };
  checkIdMaps(maps);
  return { maps, uidText, gidText };
}

/** The owner of a new upper's root: that of the parent's as the container sees it, its own root where it sees none. */
export function mappedOwner({ maps }: LabelledIdMaps, parent: Owner): Owner {
  try {
    return toHost(maps, parent);
  } catch (error) {
    if (hasCode(error, 'ERR_ID_NOT_MAPPED')) return hostRoot(maps);
    throw error;
  }
}

/**
 * What the directory of an active snapshot with these labels is made with. A limit of its size is the driver's to keep, or to refuse.
 * @throws StoreError ERR_INVALID_ARGUMENT as {@link idMaps}
 */
export function snapshotLayer(labels: Labels): SnapshotLayer {
  const maps = idMaps(labels);
  const size = labels[maxSizeLabel];
  return {
    ...(maps === undefined ? {} : { rootOwner: (parent: Owner) => mappedOwner(maps, parent) }),
    ...(size === undefined ? {} : { storageOptions: { size } }),
  };
}

function ranges(label: string, text: string): IdRange[] {
  return text.split(',').map((part) => {
    const [, container, host, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(part) ?? [];
    if (size === undefined) {
      throw new StoreError('ERR_INVALID_ARGUMENT', `${JSON.stringify(text.slice(0, 200))} is not an id map`, {
        subject: `label ${label}`,
        hint: 'a map is CONTAINER:HOST:SIZE, several separated by commas',
      });
    }
    return { container: Number(container), host: Number(host), size: Number(size) };
  });
}
