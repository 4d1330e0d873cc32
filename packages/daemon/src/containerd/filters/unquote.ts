/** Decodes the inside of a quoted literal of Go (the Go specification, "String literals"); `\x` and octal escapes are bytes. */

const single: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 92 };

/** Kind of escape -> digits that follow and their base. */
const numeric: Readonly<Record<string, readonly [digits: number, base: 16]>> = {
  x: [2, 16],
  u: [4, 16],
  U: [8, 16],
};

/** `undefined` for an escape that does not exist. @param quote the mark that surrounds the text */
export function unquote(text: string, quote: string): string | undefined {
  if (!text.includes('\\')) return text;
  const parts: Buffer[] = [];
  for (let rest = text; rest !== '';) {
    const plain = /^[^\\]+/.exec(rest)?.[0];
    const [part, length] = plain === undefined ? (escape(rest, quote) ?? []) : [Buffer.from(plain), plain.length];
    if (part === undefined || length === undefined) return undefined;
    parts.push(part);
    rest = rest.slice(length);
  }
  return Buffer.concat(parts).toString();
}

function escape(text: string, quote: string): [bytes: Buffer, length: number] | undefined {
  const mark = text.charAt(1);
  if (mark === quote && mark !== '') return [Buffer.from(mark), 2];
  const code = single[mark];
  if (code !== undefined) return [Buffer.of(code), 2];
  const octal = /^\\([0-7]{3})/.exec(text)?.[1];
  if (octal !== undefined) {
    const value = Number.parseInt(octal, 8);
    return value > 255 ? undefined : [Buffer.of(value), 4];
  }
  const [digits, base] = numeric[mark] ?? [0, 16];
  const hex = text.slice(2, 2 + digits);
  if (digits === 0 || hex.length < digits || !/^[0-9a-fA-F]+$/.test(hex)) return undefined;
  const value = Number.parseInt(hex, base);
  if (mark === 'x') return [Buffer.of(value), 2 + digits];
  return value > 0x10ffff ? undefined : [Buffer.from(String.fromCodePoint(value)), 2 + digits];
}
