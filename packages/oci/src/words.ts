import { StoreError } from '@layerstore/core';

/** The value of a variable; undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

/**
 * Splits a line into words as a Dockerfile does (Docker's reference, "Environment replacement" and "ENV"): quotes group,
 * a backslash takes the next character as it is, `$NAME` and `${NAME}` are replaced outside single quotes.
 * @throws StoreError ERR_INVALID_ARGUMENT for an open quote and for other forms of `${...}`
 */
export function splitWords(line: string, lookup: Lookup): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (quote === '' && /\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word ??= '';
    if (character === quote) quote = '';
    else if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === '\\' && quote !== "'" && at + 1 < line.length) word += line.charAt(++at);
    else if (character === '$' && quote !== "'") {
      const { name, length } = variableAt(line, at);
      word += name === undefined ? '$' : (lookup(name) ?? '');
      at += length - 1;
    } else word += character;
  }
  if (quote !== '') throw new StoreError('ERR_INVALID_ARGUMENT', `a ${quote} is not closed`, { subject: line });
  if (word !== undefined) words.push(word);
  return words;
}

function variableAt(line: string, at: number): { name: string | undefined; length: number } {
  const match = /^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})/.exec(line.slice(at));
  if (match !== null) return { name: match[1] ?? match[2], length: match[0].length };
  if (line.charAt(at + 1) === '{') {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'only ${NAME} is understood of the forms of ${...}', {
      subject: line,
    });
  }
  return { name: undefined, length: 1 };
}
