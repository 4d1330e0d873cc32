import { printable } from './printable.js';

const gap = 3;

/** Lines of a table as docker prints them: padded with blanks, columns three blanks apart, the last one not padded. */
export function tableLines(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => {
    const isLast = column === header.length - 1;
    return isLast ? 0 : gap + lines.reduce((widest, row) => Math.max(widest, textWidth(row[column] ?? '')), 0);
  });
  return lines.map((row) => {
    let line = '';
    row.forEach((cell, column) => {
      line += cell.padEnd((widths[column] ?? 0) + cell.length - textWidth(cell));
    });
    return line.trimEnd();
  });
}

/** `text` cut to `width` characters, with an ellipsis in place of what was cut. */
export function truncate(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

const highSurrogates = /[\ud800-\udbff]/g;

/** Characters outside the basic plane take two units of a string and one place on the screen. */
function textWidth(text: string): number {
  return text.length - (text.match(highSurrogates)?.length ?? 0);
}
