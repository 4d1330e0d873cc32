import { expect, test } from 'vitest';
import { tableLines, truncate } from './table.js';

test('columns stand three blanks apart and lines end without blanks', () => {
  expect(
    tableLines(
      ['NAME', 'SIZE'],
      [
        ['debian', '117MB'],
        ['größe', ''],
      ],
    ),
  ).toEqual(['NAME     SIZE', 'debian   117MB', 'größe']);
});

test('an empty table is its header', () => {
  expect(tableLines(['IMAGE ID', 'SIZE'], [])).toEqual(['IMAGE ID   SIZE']);
});

test('a name from a hostile image can neither break the rows nor reach the terminal', () => {
  const [, row] = tableLines(['NAME'], [['evil\n\u001b[2Jdebian']]);
  expect(row).toBe('evil\\x0a\\x1b[2Jdebian');
});

test('truncation counts characters, not code units', () => {
  expect(truncate('😀😀😀😀', 3)).toBe('😀😀…');
  expect(truncate('abc', 3)).toBe('abc');
});
