import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compactJson, joinArray, joinObject, splitArray, splitObject } from './json-text.js';

describe('JSON text', () => {
  test('keeps numbers, escapes and order of values that JavaScript would spell otherwise', () => {
    const fields = splitObject('{ "b": 9223372036854775807, "a\\u0041": [1.0, {"x": "}\\"]"}], "c":1e2 }');
    expect([...fields]).toEqual([
      ['b', '9223372036854775807'],
      ['aA', '[1.0, {"x": "}\\"]"}]'],
      ['c', '1e2'],
    ]);
    expect(joinObject(fields)).toBe('{"b":9223372036854775807,"aA":[1.0, {"x": "}\\"]"}],"c":1e2}');
  });

  test('gives the last of two fields with one name, as JSON.parse does', () => {
    expect([...splitObject('{"a":1,"a":2}')]).toEqual([['a', '2']]);
  });

  test('splits empty objects and arrays into nothing', () => {
    expect(splitObject(' { } ').size).toBe(0);
    expect(splitArray('[\n]')).toEqual([]);
  });

  test('takes any object apart into texts that parse to its values, and together again', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        const plain: unknown = JSON.parse(text);
        const fields = splitObject(text);
        expect([...fields].map(([name, item]) => [name, JSON.parse(item) as unknown])).toEqual(
          Object.entries(plain as object),
        );
        expect(JSON.parse(joinObject(fields))).toEqual(plain);
        expect(compactJson(text)).toBe(JSON.stringify(plain));
      }),
    );
  });

  test('takes any array apart into texts that parse to its items, and together again', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (value) => {
        const text = JSON.stringify(value, undefined, 2);
        const items = splitArray(text);
        expect(items.map((item) => JSON.parse(item) as unknown)).toEqual(JSON.parse(text));
        expect(compactJson(joinArray(items))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });
});
