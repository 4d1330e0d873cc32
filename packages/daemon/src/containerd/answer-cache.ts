import { hasCode } from '@layerstore/core';
import type { SnapshotSummary } from '@layerstore/store';
import type { ApiMount } from './mounts.js';

/** So many snapshots are kept; the oldest goes first. */
const limit = 4096;

export interface KnownAnswers {
  readonly snapshot?: SnapshotSummary;
  readonly mounts?: readonly ApiMount[];
}

/**
 * Answers to Stat and Mounts that were given before, so that a client that asks again does not wait for the store's thread. One server at a time
 * changes the snapshots of an owner, so nothing changes them behind its back; whatever is being changed is not known meanwhile.
 */
export class AnswerCache {
  readonly #known = new Map<string, KnownAnswers>();
  /** Snapshots that calls are changing -> how many calls. */
  readonly #changing = new Map<string, number>();
  #changes = 0;

  get(owner: string, key: string): KnownAnswers | undefined {
    return this.#known.get(nameOf(owner, key));
  }

  /** Keeps what a call that changed nothing has found, unless another one is changing it. `since` is from before that call. */
  learn(owner: string, key: string, answers: KnownAnswers, since: number): void {
    if (since === this.#changes && !this.#changing.has(nameOf(owner, key))) this.#keep(nameOf(owner, key), answers);
  }

  /** A mark for {@link learn}. */
  get now(): number {
    return this.#changes;
  }

  /** Runs a call that makes or changes a snapshot; what it gives is kept if no other call was changing it at the same time. */
  async change<T>(
    owner: string,
    key: string,
    call: () => Promise<T>,
    answersOf: (result: T) => KnownAnswers = () => ({}),
  ): Promise<T> {
    const name = nameOf(owner, key);
    let calls = 1;
    this.#changes += 1;
    this.#changing.set(name, (this.#changing.get(name) ?? 0) + 1);
    this.#known.delete(name);
    try {
      const result = await call();
      if (this.#changing.get(name) === 1) this.#keep(name, answersOf(result));
      return result;
    } catch (error) {
      // The thread finishes a call that the server has given up, at a time that nobody learns of.
      if (hasCode(error, 'ERR_TIMED_OUT')) calls = 0;
      throw error;
    } finally {
      const left = (this.#changing.get(name) ?? calls) - calls;
      if (left === 0) this.#changing.delete(name);
      else this.#changing.set(name, left);
      this.#changes += 1;
    }
  }

  #keep(name: string, answers: KnownAnswers): void {
    this.#known.set(name, { ...this.#known.get(name), ...answers });
    const [oldest] = this.#known.keys();
    if (this.#known.size > limit && oldest !== undefined) this.#known.delete(oldest);
  }
}

function nameOf(owner: string, key: string): string {
  return JSON.stringify([owner, key]);
}
