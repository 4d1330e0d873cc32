/**
 * containerd's filter language:
 *
 * ```
 * filter   := selector ("," selector)*
 * selector := field ("." field)* (operator value)?
 * field    := word | "quoted"
 * operator := "==" | "!=" | "~="
 * value    := text | "quoted"; for ~= also /quoted/ and |quoted|
 * ```
 */
import { RE2JS } from 're2js';
import { malformed, scan, type Token } from './scanner.js';
import { unquote } from './unquote.js';

export type Comparison =
  | { readonly operator: 'present' }
  | { readonly operator: '==' | '!='; readonly value: string }
  /** `undefined` where the text is no expression of RE2: such a selector matches nothing, as in containerd. */
  | { readonly operator: '~='; readonly expression: RE2JS | undefined };

export interface Selector {
  readonly fieldPath: readonly string[];
  readonly comparison: Comparison;
}

/** All of whose selectors must hold; one without selectors matches everything. @throws StoreError ERR_INVALID_ARGUMENT */
export function parseFilter(input: string): Selector[] {
  return input === '' ? [] : new Parser(input).filter();
}

class Parser {
  readonly #tokens: Token[];
  #position = 0;

  constructor(private readonly input: string) {
    this.#tokens = scan(input);
  }

  filter(): Selector[] {
    const selectors = [this.#selector()];
    while (!this.#at('end', '')) {
      if (!this.#at('separator', ',')) throw this.#unexpected();
      this.#next();
      selectors.push(this.#selector());
    }
    return selectors;
  }

  #selector(): Selector {
    const fieldPath = [this.#field()];
    while (this.#at('separator', '.')) {
      this.#next();
      fieldPath.push(this.#field());
    }
    if (this.#at('end', '') || this.#at('separator', ',')) return { fieldPath, comparison: { operator: 'present' } };
    return { fieldPath, comparison: this.#comparison() };
  }

  #field(): string {
    const token = this.#next();
    if (token.kind === 'field') return token.text;
    if (token.kind === 'quoted') return this.#unquoted(token, '"');
    throw malformed(this.input, token.at, 'expected field or quoted');
  }

  #comparison(): Comparison {
    const token = this.#next();
    switch (token.kind === 'operator' ? token.text : '') {
      case '==':
        return { operator: '==', value: this.#value('"') };
      case '!=':
        return { operator: '!=', value: this.#value('"') };
      case '~=':
        return { operator: '~=', expression: expressionOf(this.#value('"/|')) };
      default:
        throw malformed(this.input, token.at, 'expected an operator ("==", "!=" or "~=")');
    }
  }

  #value(quotes: string): string {
    const token = this.#next();
    if (token.kind === 'value') return token.text;
    if (token.kind === 'quoted') return this.#unquoted(token, quotes);
    throw malformed(this.input, token.at, 'expected value or quoted');
  }

  #unquoted(token: Token & { readonly kind: 'quoted' }, allowed: string): string {
    if (!allowed.includes(token.quote)) throw malformed(this.input, token.at, 'invalid quote encountered');
    const text = unquote(token.text, token.quote);
    if (text === undefined) throw malformed(this.input, token.at, 'illegal escape sequence');
    return text;
  }

  #peek(): Token {
    return this.#tokens[this.#position] ?? { kind: 'end', text: '', at: this.input.length, behindBlank: false };
  }

  #next(): Token {
    const token = this.#peek();
    this.#position += 1;
    return token;
  }

  #at(kind: Token['kind'], text: string): boolean {
    const token = this.#peek();
    return token.kind === kind && token.text === text && !token.behindBlank;
  }

  #unexpected(): Error {
    const { at, text } = this.#peek();
    return malformed(this.input, at, `unexpected input ${JSON.stringify(text)}`);
  }
}

function expressionOf(text: string): RE2JS | undefined {
  try {
    return RE2JS.compile(text);
  } catch {
    return undefined;
  }
}
