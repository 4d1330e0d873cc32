import { randomBytes } from 'node:crypto';

/** Ids that tie the lines of one request together: unique in this process by number, among processes by a random prefix. */
export class RequestIds {
  readonly #prefix = randomBytes(4).toString('hex');
  #last = 0;

  next(): string {
    this.#last += 1;
    return `${this.#prefix}-${this.#last}`;
  }
}
