import { describe, expect, it } from 'vitest';
import { craftedArchive, craftedHeader, craftedMember, craftedPax, readMember, refusal } from './crafted.js';

describe('a sparse map', () => {
  const gnuNumbers = (...numbers: number[]): Buffer =>
    Buffer.from(numbers.map((number) => `${number.toString(8).padStart(11, '0')}\0`).join(''));

  const oldGnu = (size: number, map: readonly number[], packed: string, extension?: readonly Buffer[]): Buffer => {
    const header = craftedHeader({
      type: 'S',
      magic: 'gnu',
      size: packed.length,
      patches: [
        [386, gnuNumbers(...map)],
        [482, Buffer.from([extension === undefined ? 0 : 1])],
        [483, gnuNumbers(size)],
      ],
    });
    return Buffer.concat([header, ...(extension ?? []), Buffer.from(packed), Buffer.alloc(512 - packed.length)]);
  };

  const sparse1 = (size: string, map: string, packed: string): Buffer[] => {
    const payload = Buffer.concat([
      Buffer.from(map),
      Buffer.alloc((512 - (map.length % 512)) % 512),
      Buffer.from(packed),
    ]);
    return [
      craftedPax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'real-name',
        'GNU.sparse.realsize': size,
      }),
      craftedMember({ name: 'GNUSparseFile.1/x' }, payload),
    ];
  };

  const sparse00 = (records: readonly string[], packed: string): Buffer[] => [
    craftedMember({ type: 'x' }, records.map((text) => `${text.length + 4} ${text}\n`).join('')),
    craftedMember({}, packed),
  ];

  it('of the old GNU form is expanded', () => {
    const { entry, content } = readMember(oldGnu(10, [1, 2, 6, 3], 'abcde'));
    expect(content).toBe('\0ab\0\0\0cde\0');
    expect(entry).toMatchObject({
      type: 'file',
      size: 10,
      sparse: [
        { offset: 1, length: 2 },
        { offset: 6, length: 3 },
      ],
    });
  });

  it('of the old GNU form may go on in further blocks', () => {
    const full = [0, 1, 2, 1, 4, 1, 6, 1];
    const block = (numbers: number[], more: boolean): Buffer => {
      const bytes = Buffer.alloc(512);
      gnuNumbers(...numbers).copy(bytes);
      bytes[504] = more ? 1 : 0;
      return bytes;
    };
    const second = Array.from({ length: 21 }, (_, index) => [8 + 2 * index, 1]).flat();
    const archive = oldGnu(60, full, 'abcd'.padEnd(26, '.'), [block(second, true), block([52, 1], false)]);
    const { entry, content } = readMember(archive);
    expect(entry.sparse).toHaveLength(26);
    expect(content.slice(0, 8)).toBe('a\0b\0c\0d\0');
    expect(content.slice(48)).toBe('.\0\0\0.\0\0\0\0\0\0\0');
  });

  it.each([
    [
      '0.0',
      sparse00(
        [
          'GNU.sparse.size=09',
          'GNU.sparse.offset=1',
          'GNU.sparse.numbytes=2',
          'GNU.sparse.offset=8',
          'GNU.sparse.numbytes=1',
        ],
        'abc',
      ),
    ],
    [
      '0.1',
      [
        craftedPax({
          'GNU.sparse.size': '9',
          'GNU.sparse.numblocks': '2',
          'GNU.sparse.name': 'file',
          'GNU.sparse.map': '1,2,8,1',
        }),
        craftedMember({ name: 'GNUSparseFile.0/x' }, 'abc'),
      ],
    ],
    ['1.0', sparse1('9', '2\n1\n2\n8\n1\n', 'abc')],
  ])('of the PAX form %s is expanded', (_, members) => {
    const { content, entry } = readMember(...members);
    expect(content).toBe('\0ab\0\0\0\0\0c');
    expect(entry.sparse).toEqual([
      { offset: 1, length: 2 },
      { offset: 8, length: 1 },
    ]);
    expect(entry.name.toString()).not.toContain('GNUSparseFile');
  });

  it('of the PAX form 1.0 may be longer than a block', () => {
    const count = 200;
    const map = [count, ...Array.from({ length: count }, (_, index) => [index * 1000, 1]).flat()].join('\n');
    const { entry, content } = readMember(...sparse1('200000', `${map}\n`, 'x'.repeat(count)));
    expect(entry.sparse).toHaveLength(count);
    expect(content).toHaveLength(200_000);
    expect(content.indexOf('x', 1)).toBe(1000);
  });

  it('of a file that is one hole has no segments', () => {
    const { entry, content } = readMember(...sparse1('4', '1\n4\n0\n', ''));
    expect(entry.sparse).toEqual([]);
    expect(content).toBe('\0\0\0\0');
  });

  it.each([
    ['overlapping segments', oldGnu(10, [1, 3, 2, 2], 'abcde')],
    ['descending segments', oldGnu(10, [6, 3, 1, 2], 'abcde')],
    ['a segment beyond the file', oldGnu(8, [1, 2, 6, 3], 'abcde')],
    ['more data than segments', oldGnu(10, [1, 2], 'abcde')],
    ['less data than segments', oldGnu(10, [1, 9], 'abcde')],
    ['a map that is not text', Buffer.concat(sparse1('9', '2\nx\n', 'abc'))],
    ['a map that does not end', Buffer.concat(sparse1('9', '900\n1\n', 'abc'))],
    ['an empty line in the map', Buffer.concat(sparse1('9', '2\n\n', 'abc'))],
    ['a map number beyond 2^53', Buffer.concat(sparse1('9', '99999999999999999999\n', 'abc'))],
    ['a size that is not a number', Buffer.concat(sparse1('-9', '2\n1\n2\n8\n1\n', 'abc'))],
    ['pairs in the wrong order', Buffer.concat(sparse00(['GNU.sparse.size=09', 'GNU.sparse.numbytes=1'], 'a'))],
    ['half a pair', Buffer.concat(sparse00(['GNU.sparse.size=09', 'GNU.sparse.offset=1'], ''))],
    ['no size', Buffer.concat(sparse00(['GNU.sparse.offset=1', 'GNU.sparse.numbytes=1'], 'a'))],
    [
      'a list that is not of numbers',
      Buffer.concat([craftedPax({ 'GNU.sparse.size': '9', 'GNU.sparse.map': '1,b' }), craftedMember({})]),
    ],
    [
      'a type that is no file',
      Buffer.concat([craftedPax({ 'GNU.sparse.size': '0', 'GNU.sparse.map': '' }), craftedMember({ type: '5' })]),
    ],
  ])('with %s is refused', (_, member) => {
    expect(refusal(craftedArchive(member)).code).toBe('ERR_MALFORMED_ARCHIVE');
  });

  it('of type S without the GNU magic is refused, as in Go', () => {
    expect(refusal(craftedArchive(craftedHeader({ type: 'S' }))).code).toBe('ERR_UNSUPPORTED_FORMAT');
  });

  it('of an unknown version is refused instead of being taken for an ordinary file', () => {
    const records = { 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' };
    expect(refusal(craftedArchive(craftedPax(records), craftedMember({}))).code).toBe('ERR_UNSUPPORTED_FORMAT');
  });
});
