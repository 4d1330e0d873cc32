import type { ErrorRecord } from '@layerstore/core';

/** From the library to the init process of a run. */
export type InitRequest = { readonly kind: 'start'; readonly run: InitRun } | { readonly kind: 'terminate' };

export interface InitRun {
  /** Absolute, without symlinks. */
  readonly root: string;
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly hostname?: string;
}

/** The one answer of the init process, before it ends. */
export type InitAnswer =
  | { readonly kind: 'ended'; readonly exitCode: number | null; readonly signal: NodeJS.Signals | null }
  /** The program could not be executed; `code` is the errno name. */
  | { readonly kind: 'not executed'; readonly code: string }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };
