import { readFileSync } from 'node:fs';
import { errorCodes } from '@layerstore/core';
import { describe, expect, test } from 'vitest';

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');

/** code -> the cells of its row in the page's table. */
const rows = new Map(
  [...page.matchAll(/^\| \[`(ERR_\w+)`\]\(#(\w+)\)\s*\|(.*)\|$/gm)].map(([, code, anchor, rest]) => [
    code!,
    { anchor: anchor!, cells: rest!.split('|').map((cell) => cell.trim()) },
  ]),
);

/** code -> the text under its heading. */
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const end = section.indexOf('\n');
      return [section.slice(0, end), section.slice(end).trim()];
    }),
);

describe('docs/errors.md', () => {
  test('lists the codes of the error table, in its order, and no other', () => {
    expect([...rows.keys()]).toEqual(Object.keys(errorCodes));
  });

  test('explains the codes of the error table, in its order, and no other', () => {
    expect([...sections.keys()]).toEqual(Object.keys(errorCodes));
  });

  test.each(Object.entries(errorCodes))(
    'gives meaning, exit, HTTP and gRPC of %s as the table has them',
    (code, row) => {
      expect(rows.get(code)?.cells).toEqual([row.meaning, String(row.exit), String(row.http), row.grpc]);
      expect(rows.get(code)?.anchor).toBe(code.toLowerCase());
    },
  );

  test.each(Object.keys(errorCodes))('says what brings %s and what to do next', (code) => {
    expect(sections.get(code)).toMatch(/^\S.{20,}\n\n\*\*Next step\.\*\* \S.{10,}$/s);
  });
});
