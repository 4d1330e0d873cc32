import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkIdMaps, hostRoot, toContainer, toHost, type IdMaps, type IdRange } from './id-map.js';

const range = (container: number, host: number, size: number): IdRange => ({ container, host, size });
const both = (...ranges: IdRange[]): IdMaps => ({ uids: ranges, gids: ranges });

describe('id maps', () => {
  const maps = both(range(0, 100_000, 1000), range(1000, 1000, 1), range(1001, 101_000, 64_000));

  test('lead there and back, range by range', () => {
    expect(toHost(maps, { uid: 0, gid: 1000 })).toEqual({ uid: 100_000, gid: 1000 });
    expect(toHost(maps, { uid: 999, gid: 1001 })).toEqual({ uid: 100_999, gid: 101_000 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 65_000 }), fc.integer({ min: 0, max: 65_000 }), (uid, gid) => {
        expect(toContainer(maps, toHost(maps, { uid, gid }))).toEqual({ uid, gid });
      }),
    );
    expect(hostRoot(maps)).toEqual({ uid: 100_000, gid: 100_000 });
  });

  test('change nothing where there are none', () => {
    expect(toHost(undefined, { uid: 5, gid: 6 })).toEqual({ uid: 5, gid: 6 });
    expect(toContainer(undefined, { uid: 5, gid: 6 })).toEqual({ uid: 5, gid: 6 });
    expect(hostRoot(undefined)).toEqual({ uid: 0, gid: 0 });
  });

  test('do not guess an owner that they leave out', () => {
    expect(() => toHost(maps, { uid: 70_000, gid: 0 })).toThrow(expect.objectContaining({ code: 'ERR_ID_NOT_MAPPED' }));
    expect(() => toContainer(maps, { uid: 0, gid: 1000 })).toThrow(
      expect.objectContaining({ code: 'ERR_ID_NOT_MAPPED', message: expect.stringContaining('0:1000') as string }),
    );
  });

  test.each<[string, IdRange[]]>([
    ['no range', []],
    ['none for id 0', [range(1, 100_000, 10)]],
    ['an empty range', [range(0, 100_000, 0)]],
    ['a negative id', [range(0, -1, 10)]],
    ['a fraction', [range(0, 0.5, 10)]],
    ['a range past the last id', [range(0, 4_294_967_000, 1000)]],
    ['ranges that meet inside', [range(0, 100_000, 10), range(9, 200_000, 10)]],
    ['ranges that meet on the host', [range(0, 100_000, 10), range(10, 100_009, 10)]],
    ['more ranges than the kernel takes', Array.from({ length: 341 }, (_, index) => range(index, index, 1))],
  ])('are refused with %s', (_, ranges) => {
    const refused = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error;
    expect(() => checkIdMaps({ uids: ranges, gids: maps.gids })).toThrow(refused);
    expect(() => checkIdMaps({ uids: maps.uids, gids: ranges })).toThrow(refused);
  });

  test('are accepted as engines pass them', () => {
    checkIdMaps(maps);
    checkIdMaps(both(range(0, 0, 4_294_967_295)));
  });
});
