import { printable } from './printable.js';

const gap = 3;

/** Lines of a table as docker prints them: padded with blanks, columns three blanks apart, the last one not padded. */
export function tableLines(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...lines.map((row) => textWidth(row[column] ?? ''))));
  return lines.map((row) =>
    row
      .map((cell, column) => {
        const width = column === row.length - 1 ? 0 : (widths[column] ?? 0) + gap;
        return cell + ' '.repeat(Math.max(0, width - textWidth(cell)));
      })
      .join('')
      .trimEnd(),
  );
}

/** `text` cut to `width` characters, with an ellipsis in place of what was cut. */
export function truncate(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

/** Characters outside the basic plane take two units of a string and one place on the screen. */
function textWidth(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff]/g)?.length ?? 0);
}
