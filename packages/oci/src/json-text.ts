import { StoreError } from '@layerstore/core';

/**
 * Takes JSON text apart one level deep and joins it again, leaving the text of every value as it was.
 *
 * A config that is parsed and written again loses what JavaScript cannot hold: integers above 2^53, the spelling of
 * numbers, fields nobody asked for. Editing the text one level at a time keeps all of it. Every function wants text
 * that `JSON.parse` has accepted.
 */

/** The fields of an object in their order, each with the text of its value; of a repeated name the last one counts. */
export function splitObject(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const member of splitMembers(text, '{')) {
    const end = stringEnd(member, 0);
    const name: unknown = JSON.parse(member.slice(0, end));
    fields.set(String(name), member.slice(member.indexOf(':', end) + 1).trim());
  }
  return fields;
}

/** The texts of an array's items. */
export function splitArray(text: string): string[] {
  return [...splitMembers(text, '[')];
}

export function joinObject(fields: ReadonlyMap<string, string>): string {
  return `{${[...fields].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

export function joinArray(items: readonly string[]): string {
  return `[${items.join(',')}]`;
}

/** Drops the white space between tokens. */
export function compactJson(text: string): string {
  let compact = '';
  for (let at = 0; at < text.length;) {
    const character = text.charAt(at);
    const end = character === '"' ? stringEnd(text, at) : at + 1;
    if (!isSpace(character)) compact += text.slice(at, end);
    at = end;
  }
  return compact;
}

function* splitMembers(text: string, open: '{' | '['): Generator<string> {
  const body = text.trim();
  if (!body.startsWith(open)) throw new StoreError('ERR_INTERNAL', `JSON text does not start with ${open}`);
  let depth = 0;
  let start = 1;
  for (let at = 1; at < body.length; at++) {
    const character = body.charAt(at);
    if (character === '"') at = stringEnd(body, at) - 1;
    else if (character === '{' || character === '[') depth++;
    else if (depth > 0 && (character === '}' || character === ']')) depth--;
    else if (depth === 0 && (character === ',' || character === '}' || character === ']')) {
      const member = body.slice(start, at).trim();
      if (member !== '') yield member;
      start = at + 1;
    }
  }
}

/** The position after the string that starts at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at + 1;
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\r' || character === '\t';
}
