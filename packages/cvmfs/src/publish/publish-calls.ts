import type { Digest, ErrorRecord } from '@layerstore/core';
import type { PublishedRevision, RevisionJob } from './publish-revision.js';

/** What the thread of a publication can be asked, once. Plain records. */
export interface PublishCalls {
  missing: { input: Omit<RevisionJob, 'layers' | 'tag'> & { readonly digests: readonly Digest[] }; result: Digest[] };
  publish: { input: RevisionJob; result: PublishedRevision };
}

export type PublishCall = {
  [Kind in keyof PublishCalls]: { readonly kind: Kind; readonly input: PublishCalls[Kind]['input'] };
}[keyof PublishCalls];

export type PublishAnswer =
  { readonly kind: 'result'; readonly result: unknown } | { readonly kind: 'error'; readonly error: ErrorRecord };
