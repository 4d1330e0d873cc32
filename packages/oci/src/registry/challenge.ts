/** One way to authenticate that a server offers (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameter = new RegExp(`^(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`);
const scheme = new RegExp(`^(${token})(?:\\s+|$|(?=,))`);
/** No registry needs more, and reading must not take long. */
const LENGTH_LIMIT = 8192;

/** Reads a WWW-Authenticate header. What is not understood ends the list: a header is hostile until a token was asked for by it. */
export function parseChallenges(header: string | undefined): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let rest = (header ?? '').slice(0, LENGTH_LIMIT).trim();
  while (rest !== '') {
    const pair = parameter.exec(rest);
    const current = challenges.at(-1);
    if (pair !== null && current !== undefined) {
      const [text, name = '', quoted, plain = ''] = pair;
      current.parameters.set(name.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1'));
      rest = rest.slice(text.length);
    } else {
      const named = scheme.exec(rest);
      if (named === null) break;
      challenges.push({ scheme: (named[1] ?? '').toLowerCase(), parameters: new Map() });
      rest = rest.slice(named[0].length);
    }
    rest = rest.replace(/^[\s,]+/, '');
  }
  return challenges;
}
