/** What a store must hold, by what its users were told; and the choice of what they do next. */
import type { LayerStore } from '@layerstore/store';
import { chance, oneOf } from './soak.js';
import type { Outcome } from './victims.js';

export interface LoadableImage {
  readonly path: string;
  readonly reference: string;
}

/** Names of images and containers that were reported done and not asked to be removed since. */
export class KnownContent {
  readonly names = new Map<string, string>();
  readonly containers = new Map<string, string>();
  #count = 0;

  constructor(private readonly loadable: readonly LoadableImage[]) {}

  /** An operation that can succeed on this content. */
  nextOperation(): readonly string[] {
    const name = [...this.names.keys()];
    const container = [...this.containers.keys()];
    const operations: (readonly string[])[] = [this.#load(), this.#load()];
    if (name.length > 0) {
      operations.push(['tag', oneOf(name), `tagged:${this.#next()}`], ['create', oneOf(name), `box-${this.#next()}`]);
    }
    if (container.length > 0) {
      operations.push(['mount', oneOf(container)], ['commit', oneOf(container), `committed:${this.#next()}`]);
    }
    if (container.length > 3) operations.push(['rm', oneOf(container)], ['rm', oneOf(container)]);
    const used = new Set(this.containers.values());
    const free = [...this.names].filter(([, image]) => !used.has(image)).map(([reference]) => reference);
    if (free.length > 3) operations.push(['rmi', oneOf(free)], ['rmi', oneOf(free)], ['prune']);
    return oneOf(operations);
  }

  /** Call with the content of before: whatever way a removal ends, its subject is not certain to be there. */
  expectLoss(operation: readonly string[]): void {
    const [verb, subject = ''] = operation;
    if (verb === 'rm') this.containers.delete(subject);
    if (verb === 'rmi') this.names.delete(subject);
    if (verb !== 'prune') return;
    const used = new Set(this.containers.values());
    for (const [name, id] of this.names) if (!used.has(id)) this.names.delete(name);
  }

  /** Compares with the store. @returns what was promised and is not there */
  async missing(store: LayerStore, outcomes: readonly Outcome[]): Promise<string[]> {
    const names = new Map(
      (await store.images.list()).flatMap((image) => image.references.map((reference) => [reference, image.id])),
    );
    const containers = new Map((await store.containers.list()).map((container) => [container.name, container.image]));
    for (const { operation, end } of outcomes) if (end === 'done') this.#promise(operation, outcomes);
    const lost = [
      ...[...this.names.keys()].filter((name) => !names.has(name)),
      ...[...this.containers.keys()].filter((name) => !containers.has(name)),
    ];
    // What an interrupted operation did all the same is from now on part of the content.
    for (const [name, id] of names) this.names.set(name, id);
    for (const [name, image] of containers) this.containers.set(name, image);
    return lost;
  }

  #promise([verb, first = '', second = '']: readonly string[], outcomes: readonly Outcome[]): void {
    if (verb === 'create') this.containers.set(second, '');
    const name = verb === 'load' ? this.loadable.find(({ path }) => path === first)?.reference : second;
    if (name === undefined || (verb !== 'load' && verb !== 'tag' && verb !== 'commit')) return;
    // What ran beside it may have taken the name away again.
    const taken = outcomes.some(
      ({ operation: [other, subject] }) => other === 'prune' || (other === 'rmi' && subject === name),
    );
    if (!taken) this.names.set(name, '');
  }

  #load(): readonly string[] {
    return ['load', oneOf(this.loadable).path];
  }

  #next(): string {
    return `${(this.#count += 1)}-${chance(1e9).toString(36)}`;
  }
}
