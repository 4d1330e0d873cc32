import type { LayerId, OperationOptions } from '@layerstore/core';

/** A layer in a list of those of a home. */
export interface HomeLayer {
  readonly id: LayerId;
  /** The layer under it; absent for a base layer, and where the driver keeps no record (vfs). */
  readonly parent?: LayerId;
  /** Bytes of file content over its parent; only where sizes were asked for. */
  readonly size?: number;
  readonly mountedAt?: string;
  /** Why the records of the layer cannot be read. */
  readonly damaged?: string;
}

export interface HomeLayerDetails extends HomeLayer {
  /** The layers under it, its parent first. */
  readonly ancestors: readonly LayerId[];
  /** Driver data, as `docker inspect` shows it. */
  readonly graphDriver: { readonly name: string; readonly data: Readonly<Record<string, string>> };
}

export interface HomeInfo {
  readonly driver: string;
  readonly home: string;
  readonly access: 'read-write' | 'read-only';
  /** Where layerstore keeps what is its own. */
  readonly state: string;
  readonly driverStatus: readonly (readonly [string, string])[];
  readonly layers: number;
  readonly mounts: number;
}

/** With what a layer is compared. */
export interface ComparedLayer extends OperationOptions {
  /** Default: the layer under it, by the home's records. `null`: nothing, so that the whole view counts. */
  readonly parent?: string | null;
}
