import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printable, printableBytes, printableJson } from './printable.js';

const obeyed = /[\u0000-\u001f\u007f-\u009f\u202e]/;

describe('printable', () => {
  test('leaves ordinary names in any script as they are', () => {
    expect(printable('/srv/größe/日本語 😀')).toBe('/srv/größe/日本語 😀');
  });

  test('shows escape sequences instead of sending them', () => {
    expect(printable('\u001b]0;owned\u0007')).toBe('\\x1b]0;owned\\x07');
    expect(printable('\u009b31m')).toBe('\\x9b31m');
  });

  test('shows marks that turn the reading direction', () => {
    expect(printable('gpj\u202eexe')).toBe('gpj\\u{202e}exe');
  });

  test('lets no control character through, whatever the name', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !obeyed.test(printable(text))));
    fc.assert(fc.property(fc.uint8Array(), (bytes) => !obeyed.test(printableBytes(Buffer.from(bytes)))));
  });

  test('shows bytes that are not UTF-8 one by one', () => {
    expect(printableBytes(Buffer.from([0x2f, 0x61, 0xff, 0xfe]))).toBe('/a\\xff\\xfe');
  });
});

describe('printableJson', () => {
  test('is the same value, without characters that a terminal obeys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'binary' }), (json, text) => {
        const value = { json, text };
        const shown = printableJson(value);
        expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(shown.replaceAll('\n', '')).not.toMatch(obeyed);
      }),
    );
  });
});
