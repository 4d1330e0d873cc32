import { StoreError } from '@layerstore/core';
import { describeRoute, type Route } from './route.js';

/**
 * Thrown by whoever receives an answer that is not acceptable: damaged, cut off, badly signed. The next source is tried; every other error ends
 * the search.
 */
export class UnacceptableAnswer extends Error {
  constructor(readonly reason: StoreError) {
    super(reason.message, { cause: reason });
  }
}

/** Why a source gave nothing. */
export interface SourceFailure {
  readonly route: Route;
  /** `silent`: no connection, or one that broke; `refused`: an error status; `unacceptable`: see {@link UnacceptableAnswer}. */
  readonly kind: 'silent' | 'refused' | 'unacceptable';
  readonly error: Error;
}

/** All sources were tried in vain. */
export class SourcesExhausted extends Error {
  constructor(readonly failures: readonly SourceFailure[]) {
    super('no source has it', { cause: failures[0]?.error });
  }

  /** Whether none of them answered at all. */
  get isSilence(): boolean {
    return this.failures.every(({ kind }) => kind === 'silent');
  }

  /** The first answer that somebody found unacceptable. */
  get unacceptable(): StoreError | undefined {
    const error = this.failures.find(({ kind }) => kind === 'unacceptable')?.error;
    return error instanceof UnacceptableAnswer ? error.reason : undefined;
  }

  /** What each of them did, in few words. */
  describe(): string {
    const told = new Map(this.failures.map(({ route, error }) => [describeRoute(route), messageOf(error)]));
    return [...told].map(([route, reason]) => `${route}: ${reason}`).join('; ');
  }

  /** @param subject what was wanted */
  unreachable(subject: string): StoreError {
    return new StoreError('ERR_REPOSITORY_UNREACHABLE', `no server can be reached (${this.describe()})`, {
      subject,
      hint: 'check the network, and the configured servers and proxies',
      cause: this.failures[0]?.error,
    });
  }
}

/** Node tries every address of a host and reports all failures at once, in an error without words. */
function messageOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first.message : String(first);
}
