/**
 * Canonical Huffman codes as deflate uses them (RFC 1951 section 3.2.2).
 *
 * Codes of up to {@link FAST_BITS} bits are found by one table look-up on the next bits of the stream; the few longer
 * ones are walked bit by bit through the canonical order.
 */
export const FAST_BITS = 10;
export const MAX_BITS = 15;

export class HuffmanCode {
  /** Indexed by the next FAST_BITS bits: symbol * 16 + length, or 0 for a longer or unused code. */
  readonly fast = new Uint16Array(1 << FAST_BITS);
  /** Codes per length. */
  readonly counts = new Uint16Array(MAX_BITS + 1);
  /** Symbols in canonical order. */
  readonly symbols: Uint16Array;

  /**
   * @param lengths code length of each symbol, 0 for an unused one
   * @param singleAllowed one symbol of length 1 is enough (section 3.2.7 allows it for distances)
   * @throws RangeError when the lengths describe more codes than there are, or leave some undefined
   */
  constructor(lengths: Uint8Array, singleAllowed: boolean) {
    this.symbols = new Uint16Array(lengths.length);
    for (const length of lengths) if (length > 0) this.counts[length] = this.#count(length) + 1;
    const starts = this.#firstIndexes(singleAllowed);
    for (const [symbol, length] of lengths.entries()) {
      if (length === 0) continue;
      const index = starts[length] ?? 0;
      starts[length] = index + 1;
      this.symbols[index] = symbol;
    }
    this.#fillFast();
  }

  #count(length: number): number {
    return this.counts[length] ?? 0;
  }

  /** Where the symbols of each length start in canonical order; checks that the code is well formed. */
  #firstIndexes(singleAllowed: boolean): number[] {
    const starts = [0, 0];
    let free = 1;
    let used = 0;
    for (let length = 1; length <= MAX_BITS; length += 1) {
      free = free * 2 - this.#count(length);
      if (free < 0) throw new RangeError('over-subscribed code lengths');
      used += this.#count(length);
      starts[length + 1] = used;
    }
    const single = used === 1 && this.#count(1) === 1;
    if (free > 0 && used > 0 && !(single && singleAllowed)) throw new RangeError('incomplete code lengths');
    return starts;
  }

  #fillFast(): void {
    let code = 0;
    let index = 0;
    for (let length = 1; length <= FAST_BITS; length += 1) {
      code <<= 1;
      for (let end = index + this.#count(length); index < end; index += 1, code += 1) {
        const entry = (this.symbols[index] ?? 0) * 16 + length;
        for (let slot = reversed(code, length); slot < this.fast.length; slot += 1 << length) this.fast[slot] = entry;
      }
    }
  }
}

/** Deflate sends codes with their first bit lowest. */
function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit += 1) result |= ((code >> bit) & 1) << (length - 1 - bit);
  return result;
}
