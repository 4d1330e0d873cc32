import type { FileSyscalls } from '@layerstore/linux';
import { contentKey, type ObjectReference } from '../format/object-reference.js';
import type { LocalObjectSource } from '../objects/object-source.js';

const KEPT = 256;

/** The cached objects that one thread read from lately, open: reads of one file follow one another. */
export class OpenObjects {
  readonly #open = new Map<string, number>();

  constructor(
    private readonly sys: FileSyscalls,
    private readonly local: LocalObjectSource,
  ) {}

  /** A descriptor that stays open until the next call, and whether it was opened now; undefined for an object that is not in the cache directory. */
  use(object: ObjectReference): { readonly fd: number; readonly isNew: boolean } | undefined {
    const key = contentKey(object);
    const known = this.#open.get(key);
    if (known !== undefined) {
      // A map keeps the order of insertion: the first is the one used longest ago.
      this.#open.delete(key);
      this.#open.set(key, known);
      return { fd: known, isNew: false };
    }
    const opened = this.local.open(object);
    if (opened === undefined) return undefined;
    this.#open.set(key, opened.fd);
    const [oldest] = this.#open;
    if (this.#open.size > KEPT && oldest !== undefined) {
      this.#open.delete(oldest[0]);
      this.sys.close(oldest[1]);
    }
    return { fd: opened.fd, isNew: true };
  }
}
