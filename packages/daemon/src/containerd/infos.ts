import type { SnapshotKind, SnapshotSummary, Timestamp } from '@layerstore/store';
import { Kind } from '../grpc/generated/snapshots_pb.js';

const kinds: Readonly<Record<SnapshotKind, Kind>> = {
  view: Kind.VIEW,
  active: Kind.ACTIVE,
  committed: Kind.COMMITTED,
};

/** A snapshot as containerd's API has it. */
export function apiInfo({ key, parent, kind, created, updated, labels }: SnapshotSummary): object {
  return {
    name: key,
    parent: parent ?? '',
    kind: kinds[kind],
    createdAt: apiTime(created),
    updatedAt: apiTime(updated),
    labels,
  };
}

function apiTime({ seconds, nanoseconds }: Timestamp): object {
  return { seconds: BigInt(seconds), nanos: nanoseconds };
}
