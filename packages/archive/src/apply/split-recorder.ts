import type { TarEntry } from '../tar/entry.js';
import type { TarObserver } from '../tar/observer.js';
import type { TarSplitWriter } from '../tar-split/writer.js';

/**
 * Feeds the tar-split file from what the reader sees.
 *
 * Content is left out of the record, to be read from the layer again, only where the layer holds exactly those bytes
 * under that name; whatever is translated, skipped or packed goes into the record itself.
 */
export class SplitRecorder implements TarObserver {
  readonly #writer: TarSplitWriter;
  #inLayer = false;
  #next = 0;

  constructor(writer: TarSplitWriter) {
    this.#writer = writer;
  }

  /** Greater than the position of every record so far, not greater than that of the next one. */
  get nextPosition(): number {
    return this.#next;
  }

  segment(bytes: Buffer): void {
    this.#writer.segment(bytes);
  }

  payload(bytes: Buffer): void {
    if (this.#inLayer) this.#writer.payload(bytes);
    else this.#writer.segment(bytes);
  }

  /** Begins the record of a member, before its content. @param storedAs where the layer holds its content; absent when it does not */
  begin(entry: TarEntry, storedAs: Buffer | undefined): void {
    this.#inLayer = storedAs !== undefined;
    this.#next = this.#writer.file(storedAs ?? entry.name, storedAs === undefined ? 0 : entry.size) + 1;
  }
}
