/** What the server and its store thread tell each other. */
import type { ErrorRecord, LogFields } from '@layerstore/core';
import type { Recovery } from '@layerstore/store';
import type { SnapshotCalls } from './snapshot-calls.js';

export type Method = {
  [Name in keyof SnapshotCalls]: SnapshotCalls[Name] extends (argument: never) => Promise<unknown> ? Name : never;
}[keyof SnapshotCalls];

export type Argument<Name extends Method> = Parameters<SnapshotCalls[Name]>[0];
export type Result<Name extends Method> = Awaited<ReturnType<SnapshotCalls[Name]>>;

export interface StoreThreadOptions {
  readonly root: string;
  readonly driver: string | undefined;
  readonly storageOptions: Readonly<Record<string, string>> | undefined;
}

export type ToStore =
  | { readonly kind: 'call'; readonly id: number; readonly method: Method; readonly argument: unknown }
  | { readonly kind: 'close' };

export type FromStore =
  | { readonly kind: 'ready'; readonly driver: string; readonly recovery: Recovery }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorRecord }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: LogFields;
      readonly message: string;
    };
