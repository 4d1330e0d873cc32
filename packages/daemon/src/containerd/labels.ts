/** Labels by which containerd and its clients tell a snapshotter more than the call itself says. */
import { isDigest, nextChainId, StoreError, type ChainId } from '@layerstore/core';
import type { Labels } from '@layerstore/store';

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

/** One line of /proc/PID/uid_map: ids from `container` on are shown for those from `host` on. */
interface IdRange {
  readonly container: number;
  readonly host: number;
  readonly length: number;
}

/** How a container's ids lie in the host's; `text` as the label has it. */
export interface IdMap {
  readonly text: string;
  readonly ranges: readonly IdRange[];
}

export interface IdMaps {
  readonly uid: IdMap;
  readonly gid: IdMap;
}

/** @throws StoreError ERR_INVALID_ARGUMENT for labels that are no maps, or one map without the other */
export function idMaps(labels: Labels): IdMaps | undefined {
  const [uid, gid] = [labels[uidMappingLabel], labels[gidMappingLabel]];
  if (uid === undefined && gid === undefined) return undefined;
  if (uid === undefined || gid === undefined) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'one of the two id maps is missing', {
      subject: uid === undefined ? uidMappingLabel : gidMappingLabel,
    });
  }
  return { uid: parseIdMap(uidMappingLabel, uid), gid: parseIdMap(gidMappingLabel, gid) };
}

/** The host's id of a container's; that of the container's root for one outside the map. */
export function mapped({ ranges }: IdMap, id: number): number {
  const within = ({ container, length }: IdRange, wanted: number): boolean =>
    wanted >= container && wanted < container + length;
  const range = ranges.find((candidate) => within(candidate, id));
  if (range !== undefined) return range.host + id - range.container;
  const root = ranges.find((candidate) => within(candidate, 0));
  return root === undefined ? id : root.host - root.container;
}

/** @throws StoreError ERR_NOT_SUPPORTED for a label that asks for what no driver does */
export function refuseQuota(labels: Labels): void {
  const size = labels[maxSizeLabel];
  if (size === undefined) return;
  throw new StoreError('ERR_NOT_SUPPORTED', `a limit of ${JSON.stringify(size)} cannot be kept: there are no quotas`, {
    subject: `label ${maxSizeLabel}`,
    hint: 'leave the label out',
  });
}

function parseIdMap(label: string, text: string): IdMap {
  const ranges = text.split(',').map((part) => {
    const [, container, host, length] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(part) ?? [];
    if (length === undefined) {
      throw new StoreError('ERR_INVALID_ARGUMENT', `${JSON.stringify(text.slice(0, 200))} is not an id map`, {
        subject: `label ${label}`,
        hint: 'a map is CONTAINER:HOST:LENGTH, several separated by commas',
      });
    }
    return { container: Number(container), host: Number(host), length: Number(length) };
  });
  return { text, ranges };
}
