import { describe, expect, it } from 'vitest';
import { nextChainId, digestOf } from '@layerstore/core';
import { labelChanges } from './field-mask.js';
import { claimedChainId, idMaps, mappedOwner, snapshotLayer } from './labels.js';
import { apiMounts } from './mounts.js';

const [one, two] = [digestOf('one'), digestOf('two')];

describe('labels of a snapshot', () => {
  it('name the chain that it is to become, directly or by its layer', () => {
    expect(claimedChainId({ 'containerd.io/snapshot.ref': one })).toBe(one);
    const byLayer = { 'containerd.io/snapshot/diff-id': two, 'containerd.io/snapshot/parent-chain-id': one };
    expect(claimedChainId(byLayer)).toBe(nextChainId(one, two));
    expect(claimedChainId({ 'containerd.io/snapshot/diff-id': two })).toBe(two);
    expect(claimedChainId({ 'containerd.io/snapshot.ref': '../../etc' })).toBeUndefined();
    expect(claimedChainId({})).toBeUndefined();
  });

  it('map ids range by range, and what is outside to the root of the container', () => {
    const maps = idMaps({
      'containerd.io/snapshot/uidmapping': '0:100000:1000,1000:5000:1',
      'containerd.io/snapshot/gidmapping': '0:200000:65536',
    })!;
    expect(mappedOwner(maps, { uid: 0, gid: 0 })).toEqual({ uid: 100000, gid: 200000 });
    expect(mappedOwner(maps, { uid: 1000, gid: 5 })).toEqual({ uid: 5000, gid: 200005 });
    expect(mappedOwner(maps, { uid: 1001, gid: 5 })).toEqual({ uid: 100000, gid: 200000 });
    expect(idMaps({})).toBeUndefined();
  });

  it.each(['0:1', '0:1:2:3', 'a:b:c', '0:1:2,', '-1:0:1', '0:0:99999999999', '1:0:1', '0:0:0', '0:0:9,5:100:9', ''])(
    'refuse %j as a map',
    (text) => {
      const labels = { 'containerd.io/snapshot/uidmapping': text, 'containerd.io/snapshot/gidmapping': '0:0:1' };
      expect(() => idMaps(labels)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    },
  );

  it('refuse one map without the other', () => {
    expect(() => idMaps({ 'containerd.io/snapshot/uidmapping': '0:0:1' })).toThrow('one of the two id maps is missing');
  });

  it('say what a writable layer is made with', () => {
    expect(snapshotLayer({ other: '1' })).toEqual({});
    expect(snapshotLayer({ 'containerd.io/snapshot/max-size': '10G' })).toEqual({ storageOptions: { size: '10G' } });
    const { rootOwner } = snapshotLayer({
      'containerd.io/snapshot/uidmapping': '0:1000:10',
      'containerd.io/snapshot/gidmapping': '0:2000:10',
    });
    expect(rootOwner?.({ uid: 0, gid: 5 })).toEqual({ uid: 1000, gid: 2005 });
  });
});

describe('a field mask', () => {
  it('replaces all labels when it is empty, or sets and deletes some', () => {
    expect(labelChanges([], { a: '1' })).toEqual([{ kind: 'replace', labels: { a: '1' } }]);
    expect(labelChanges(['labels.x.y/z', 'labels.gone'], { 'x.y/z': '2' })).toEqual([
      { kind: 'set', name: 'x.y/z', value: '2' },
      { kind: 'set', name: 'gone', value: '' },
    ]);
  });

  it.each(['name', 'parent', 'kind', 'labelsx', ''])('refuses the field %j', (path) => {
    expect(() => labelChanges(['labels.a', path], {})).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });
});

describe('mounts for containerd', () => {
  it('name lowers by short symlinks in one directory, and carry id maps', () => {
    const labels = { 'containerd.io/snapshot/uidmapping': '0:1:2', 'containerd.io/snapshot/gidmapping': '0:3:4' };
    const plan = {
      kind: 'overlay' as const,
      lowers: ['/home/b/diff', '/home/a/diff'],
      upper: { path: '/home/c/diff', work: '/home/c/work' },
      options: ['index=off'],
      short: { base: '/home', lowers: ['l/B', 'l/A'] },
    };
    const options = ['index=off', 'workdir=/home/c/work', 'upperdir=/home/c/diff', 'lowerdir=/home/l/B:/home/l/A'];
    expect(apiMounts({ plan, labels: {} })).toEqual([{ type: 'overlay', source: 'overlay', options }]);
    expect(apiMounts({ plan, labels })[0]?.options).toEqual(['uidmap=0:1:2', 'gidmap=0:3:4', ...options]);
  });

  it('bind a single directory, read-only for a view', () => {
    expect(apiMounts({ plan: { kind: 'directory', path: '/a' }, labels: {} })).toEqual([
      { type: 'bind', source: '/a', options: ['rw', 'rbind'] },
    ]);
    expect(apiMounts({ plan: { kind: 'bind', source: '/a', readOnly: true }, labels: {} })).toEqual([
      { type: 'bind', source: '/a', options: ['ro', 'rbind'] },
    ]);
  });
});
