/**
 * What the protocol thread asks of the driver thread: plain records in, plain records out.
 *
 * Ids are as the engine sent them; the driver thread checks them before they near a path. A `fd` is a descriptor of this
 * process: threads share the table.
 */
import type { ErrorRecord, IdMaps } from '@layerstore/core';

export interface HomeRequest {
  /** Absolute path of the directory that the driver shall own. */
  readonly home: string;
  /** `--storage-opt` of the engine, `KEY=VALUE` each. */
  readonly options: readonly string[];
  readonly idMaps?: IdMaps;
  /** The process that asks, as SO_PEERCRED names it; 0 when it cannot be seen. */
  readonly peer: number;
}

export interface LayerRequest {
  readonly id: string;
}

export interface ComparedLayers extends LayerRequest {
  readonly parent?: string;
}

export interface DiffRequest extends ComparedLayers {
  /** The tar is written to this pipe, which is left open. */
  readonly fd: number;
  /** Engines before 23.0 write the names that the host has for owners, newer ones write none. */
  readonly names: 'host' | 'none';
}

export interface CreateRequest extends ComparedLayers {
  readonly mountLabel?: string;
  readonly storageOptions?: Readonly<Record<string, string>>;
}

/** A line of `docker diff`. */
export interface ListedChange {
  readonly path: string;
  readonly kind: 'modify' | 'add' | 'delete';
}

export interface Statistics {
  readonly mountedViews: number;
  /** Longest time, in seconds, that the driver thread's event loop was kept from turning. */
  readonly worstDelay: number;
}

/** Each call, its input and its result. */
export interface BackendCalls {
  init: { input: HomeRequest; result: undefined };
  create: { input: CreateRequest; result: undefined };
  createReadWrite: { input: CreateRequest; result: undefined };
  remove: { input: LayerRequest; result: undefined };
  get: { input: LayerRequest & { readonly mountLabel?: string }; result: string };
  put: { input: LayerRequest; result: undefined };
  exists: { input: LayerRequest; result: boolean };
  status: { input: undefined; result: readonly (readonly [string, string])[] };
  metadata: { input: LayerRequest; result: Readonly<Record<string, string>> };
  cleanup: { input: undefined; result: undefined };
  changes: { input: ComparedLayers; result: readonly ListedChange[] };
  diffSize: { input: ComparedLayers; result: number };
  diff: { input: DiffRequest; result: undefined };
  /** Unpacks what comes out of `fd`, a pipe; the result is the layer's size in bytes. */
  applyDiff: { input: ComparedLayers & { readonly fd: number }; result: number };
  statistics: { input: undefined; result: Statistics };
  /** Ends what runs and lets go of the home; what is mounted stays mounted. */
  close: { input: undefined; result: undefined };
}

export type BackendCall = keyof BackendCalls;

export type BackendMessage =
  | { readonly kind: 'call'; readonly number: number; readonly call: BackendCall; readonly input: unknown }
  | { readonly kind: 'cancel'; readonly number: number };

export type BackendAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'result'; readonly number: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly number: number; readonly error: ErrorRecord }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: Readonly<Record<string, unknown>>;
      /** The field `error`, which would lose its own fields on the way between threads. */
      readonly error?: ErrorRecord;
      readonly message: string;
    };

/** What the driver thread is started with. */
export interface BackendOptions {
  readonly driver: string;
  readonly storageOptions: Readonly<Record<string, string>>;
  /** Absolute path of the socket that the engine connects to. */
  readonly socket: string;
  /** Directory in which the homes of sockets are recorded. */
  readonly stateDirectory: string;
}
