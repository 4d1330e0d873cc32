import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { decodeRecord, encodeRecord, type TarSplitRecord } from './record.js';

const checksum = Buffer.from('b90956c775a41001', 'hex');
const empty = Buffer.alloc(0);

describe('a record', () => {
  it.each<[string, TarSplitRecord, string]>([
    ['raw bytes', { kind: 'segment', payload: Buffer.from('abc') }, '{"type":2,"payload":"YWJj","position":7}\n'],
    ['no bytes', { kind: 'segment', payload: empty }, '{"type":2,"payload":"","position":7}\n'],
    [
      'a file',
      { kind: 'file', name: Buffer.from('./etc/passwd'), size: 9, checksum },
      '{"type":1,"name":"./etc/passwd","size":9,"payload":"uQlWx3WkEAE=","position":7}\n',
    ],
    [
      'a member without content',
      { kind: 'file', name: Buffer.from('dir/'), size: 0, checksum: empty },
      '{"type":1,"name":"dir/","payload":null,"position":7}\n',
    ],
    [
      'a name that HTML would misunderstand',
      { kind: 'file', name: Buffer.from('<a>&"\\\t\u2028'), size: 0, checksum: empty },
      '{"type":1,"name":"\\u003ca\\u003e\\u0026\\"\\\\\\t\\u2028","payload":null,"position":7}\n',
    ],
    [
      'a name that is not UTF-8',
      { kind: 'file', name: Buffer.from([0x61, 0xff]), size: 0, checksum: empty },
      '{"type":1,"name_raw":"Yf8=","payload":null,"position":7}\n',
    ],
    [
      'a name with the replacement character',
      { kind: 'file', name: Buffer.from('\ufffd'), size: 0, checksum: empty },
      '{"type":1,"name_raw":"77+9","payload":null,"position":7}\n',
    ],
  ])('of %s is written as tar-split writes it, and read back', (_, record, line) => {
    expect(encodeRecord(record, 7)).toBe(line);
    expect(decodeRecord(line)).toEqual(record);
  });

  it('of any name and content is read back, on one line', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.string({ unit: 'binary' }),
        fc.boolean(),
        (bytes, text, asText) => {
          const name = asText ? Buffer.from(text) : Buffer.from(bytes);
          for (const record of [
            { kind: 'file', name, size: 3, checksum } as const,
            { kind: 'segment', payload: Buffer.from(bytes) } as const,
          ]) {
            const line = encodeRecord(record, 0);
            expect(line.indexOf('\n')).toBe(line.length - 1);
            expect(decodeRecord(line)).toEqual(record);
          }
        },
      ),
    );
  });

  it('may have members that are not known', () => {
    expect(decodeRecord('{"type":2,"payload":"YWJj","position":0,"later":[1]}')).toEqual({
      kind: 'segment',
      payload: Buffer.from('abc'),
    });
  });

  it.each([
    '',
    'null',
    '[]',
    '"text"',
    '{',
    '{}',
    '{"type":3,"payload":""}',
    '{"type":"2","payload":""}',
    '{"type":2,"payload":5}',
    '{"type":2,"payload":"YWJ"}',
    '{"type":2,"payload":"YW!j"}',
    '{"type":2,"payload":"Y==="}',
    '{"type":1,"name":5,"payload":null}',
    '{"type":1,"name_raw":"!","payload":null}',
    '{"type":1,"name":"a","size":-1,"payload":"uQlWx3WkEAE="}',
    '{"type":1,"name":"a","size":1.5,"payload":"uQlWx3WkEAE="}',
    '{"type":1,"name":"a","size":"1","payload":"uQlWx3WkEAE="}',
    '{"type":1,"name":"a","size":9007199254740993,"payload":"uQlWx3WkEAE="}',
    '{"type":1,"name":"a","size":1,"payload":"YWJj"}',
    '{"type":1,"name":"a","size":1,"payload":null}',
  ])('is not %s', (line) => {
    expect(decodeRecord(line)).toBeUndefined();
  });
});
