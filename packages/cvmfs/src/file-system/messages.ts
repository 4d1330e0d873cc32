import type { ErrorRecord } from '@layerstore/core';
import type { FuseAbilities } from '@layerstore/linux';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import type { RevisionChoice } from '../repository/revision-record.js';
import type { LazyMountUse } from './lazy-mount.js';
import type { PinnedRevision } from './need.js';

/** The descriptors that a server is started with. */
export const serverDescriptors = { device: 3, nodes: 4, backing: 5 } as const;

/** What a keeper is started with. */
export interface KeeperStart {
  readonly configuration: RepositoryConfiguration;
  /** Its directory under the runtime directory. */
  readonly directory: string;
  readonly logFile: string;
  readonly threads: number;
  /** Bytes from which the kernel reads files itself, where it can. */
  readonly passthroughFrom: number;
}

/** What a keeper starts a server with. */
export interface ServerStart extends KeeperStart {
  readonly abilities: FuseAbilities;
  readonly generation: number;
  /** Pinned before, and known to the kernel perhaps still. */
  readonly revisions: readonly PinnedRevision[];
  /** Root hashes of those that are pinned now. */
  readonly pinned: readonly string[];
}

/** About the files of a revision, which a keeper passes on to its server. Paths are relative to the revision's root. */
export type FileRequest =
  | { readonly kind: 'record' }
  | { readonly kind: 'recorded'; readonly rootHash: string }
  | { readonly kind: 'prefetch'; readonly rootHash: string; readonly paths: readonly string[] };

/** From a keeper to its server; each is answered by its number. */
export type ServerRequest =
  | { readonly kind: 'start'; readonly id: number; readonly start: ServerStart }
  | { readonly kind: 'resolve'; readonly id: number; readonly choice: RevisionChoice }
  | { readonly kind: 'pin'; readonly id: number; readonly revision: PinnedRevision }
  | { readonly kind: 'unpin'; readonly id: number; readonly rootHash: string }
  | ({ readonly id: number } & FileRequest);

/** `value` is the revision for `resolve`, paths for `recorded`. */
export type ServerValue = PinnedRevision | readonly string[] | undefined;
export type ServerAnswer =
  { readonly id: number; readonly value: ServerValue } | { readonly id: number; readonly error: ErrorRecord };

/** A line of JSON that a client writes to the socket of a keeper; answered by another, in turn. */
export type KeeperRequest =
  | { readonly kind: 'acquire'; readonly choice: RevisionChoice; readonly user: string }
  | { readonly kind: 'release'; readonly user: string; readonly rootHash?: string }
  | { readonly kind: 'uses' }
  | FileRequest;

export type KeeperAnswer =
  | { readonly kind: 'uses'; readonly uses: readonly LazyMountUse[] }
  | { readonly kind: 'files'; readonly files: readonly string[] }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };

/** From a keeper to the process that started it. */
export type KeeperReport = { readonly kind: 'ready' } | { readonly kind: 'failed'; readonly error: ErrorRecord };
