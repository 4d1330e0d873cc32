/**
 * Tokens of containerd's filter language. Words depend on where they stand: behind an operator comes a value, which may hold nearly
 * anything but blanks and commas; elsewhere a field, which is letters, digits and underscores.
 */
import { StoreError } from '@layerstore/core';

interface Place {
  readonly at: number;
  /** Blanks may stand before words and operators, not before a separator or the end. */
  readonly behindBlank: boolean;
}

export type Token = Place &
  (
    | { readonly kind: 'field' | 'value' | 'operator' | 'separator'; readonly text: string }
    | { readonly kind: 'quoted'; readonly text: string; readonly quote: string }
    | { readonly kind: 'end'; readonly text: '' }
  );

/** @throws StoreError ERR_INVALID_ARGUMENT */
export function scan(input: string): Token[] {
  const scanner = new Scanner(input);
  const tokens: Token[] = [];
  do tokens.push(scanner.next());
  while (tokens.at(-1)?.kind !== 'end');
  return tokens;
}

/** An error that shows where in the filter it is. */
export function malformed(input: string, at: number, reason: string): StoreError {
  const shown = `${input.slice(0, at)} >|${input.slice(at, at + 1)}|< ${input.slice(at + 1)}`;
  return new StoreError('ERR_INVALID_ARGUMENT', `${reason}: invalid argument`, {
    subject: `filter [${at < input.length ? shown : input}]`,
    hint: 'a filter is FIELD, FIELD==VALUE, FIELD!=VALUE or FIELD~=EXPRESSION, several joined by commas',
  });
}

const quotes = '"/|';
/** White space of Unicode, as Go has it; that of JavaScript has U+FEFF besides and lacks U+0085. */
const blank = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const patterns = {
  blank: new RegExp(`[${blank}]+`, 'uy'),
  separator: /[.,]/y,
  operator: /[=!~]+/y,
  field: /[A-Za-z0-9_]+/y,
  /** The first character is not looked at: the ones above come first. */
  value: new RegExp(`[^\\0][^${blank},\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Cn}]*`, 'uy'),
} as const;

class Scanner {
  #at = 0;
  /** An operator was read: the next word is a value. */
  #valueNext = false;

  constructor(private readonly input: string) {}

  next(): Token {
    const behindBlank = this.#take('blank') !== undefined;
    const at = this.#at;
    const place = { at, behindBlank };
    const character = this.input.charAt(at);
    if (character === '') return { kind: 'end', text: '', ...place };
    if (quotes.includes(character))
      return { kind: 'quoted', quote: character, text: this.#quoted(character), ...place };
    const separator = this.#take('separator');
    if (separator !== undefined) {
      this.#valueNext = false;
      return { kind: 'separator', text: separator, ...place };
    }
    const operator = this.#take('operator');
    if (operator !== undefined) {
      this.#valueNext = true;
      return { kind: 'operator', text: operator, ...place };
    }
    const kind = this.#valueNext ? 'value' : 'field';
    this.#valueNext = false;
    const text = this.#take(kind);
    if (text === undefined) throw malformed(this.input, at, `expected a ${kind}`);
    return { kind, text, ...place };
  }

  #take(kind: keyof typeof patterns): string | undefined {
    const pattern = patterns[kind];
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.input)?.[0];
    if (text !== undefined) this.#at += text.length;
    return text;
  }

  /** The text between the quotes, its escapes not yet decoded. */
  #quoted(quote: string): string {
    const start = this.#at;
    for (let at = start + 1; at < this.input.length; at += 1) {
      const character = this.input.charAt(at);
      if (character === '\n' || character === '\0') break;
      if (character === '\\') at += 1;
      else if (character === quote) {
        this.#at = at + 1;
        return this.input.slice(start + 1, at);
      }
    }
    throw malformed(this.input, start, 'quoted literal not terminated');
  }
}
