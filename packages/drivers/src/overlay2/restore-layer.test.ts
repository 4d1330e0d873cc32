import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { Mounter } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRoot, Scratch } from '../../../../test/support/scratch.js';
import type { GraphDriver } from '../driver.js';
import { openDriver } from '../registry.js';

const [base, middle, top] = ['base', 'middle', 'top'].map(parseLayerId) as [
  ReturnType<typeof parseLayerId>,
  ReturnType<typeof parseLayerId>,
  ReturnType<typeof parseLayerId>,
];

describe.skipIf(!isRoot)('layers of overlay2 that were made without a sync (needs root)', () => {
  let scratch: Scratch;
  let driver: GraphDriver;
  const home = (): string => scratch.file('home');
  const open = (records: 'checked' | 'remembered'): Promise<GraphDriver> =>
    openDriver('overlay2', home(), { mounter: new Mounter(), records });

  beforeEach(async () => {
    scratch = new Scratch('restore', '/dev/shm');
    driver = await open('checked');
    await driver.create(base);
    writeFileSync(join(home(), base, 'diff', 'file'), 'kept');
    await driver.create(middle, { parent: base });
    await driver.createReadWrite(top, {
      parent: middle,
      durability: 'unsynced',
      root: { mode: 0o711, owner: () => ({ uid: 5, gid: 6 }) },
    });
  });
  afterEach(() => scratch[Symbol.dispose]());

  it('are like any other, with the root that was asked for', async () => {
    expect(lstatSync(join(home(), top, 'diff'))).toMatchObject({ mode: 0o40711, uid: 5, gid: 6 });
    expect(readFileSync(join(home(), top, 'lower'), 'utf8').split(':')).toHaveLength(2);
    const plan = await driver.plan(top);
    expect(plan).toMatchObject({ kind: 'overlay', lowers: [join(home(), middle, 'diff'), join(home(), base, 'diff')] });
    expect(await (await open('remembered')).plan(top)).toEqual(plan);
  });

  it('are made whole from what the caller knows, whatever of them is lost', async () => {
    const options = { parent: middle, root: { mode: 0o711, owner: () => ({ uid: 5, gid: 6 }) } };
    const plan = await driver.plan(top);
    const losses: (() => void)[] = [
      () => undefined,
      () => truncateSync(join(home(), top, 'lower')),
      () => truncateSync(join(home(), top, 'link')),
      () => rmSync(join(home(), 'l', readFileSync(join(home(), top, 'link'), 'utf8'))),
      () => rmSync(join(home(), top, 'work'), { recursive: true }),
      () => rmSync(join(home(), top, 'diff'), { recursive: true }),
      () => {
        for (const name of ['lower', 'link', 'work', 'diff']) rmSync(join(home(), top, name), { recursive: true });
      },
      () => rmSync(join(home(), top), { recursive: true }),
    ];
    for (const lose of losses) {
      lose();
      await driver.restore(top, options);
      expect(await driver.plan(top)).toEqual(plan);
      expect(lstatSync(join(home(), top, 'diff')).mode & 0o7777).toBe(0o711);
    }
    await driver.cleanup();
    expect(readdirSync(join(home(), 'l'))).toHaveLength(3);
  });

  it('have owners of the host in a home with id maps, also when they are made whole again', async () => {
    const ids = (host: number) => [{ container: 0, host, size: 1000 }];
    const idMaps = { uids: ids(100_000), gids: ids(200_000) };
    const mapped = await openDriver('overlay2', scratch.file('mapped'), { mounter: new Mounter(), idMaps });
    const ownersOf = (id: string): string[] =>
      ['.', 'diff', 'work'].map((name) => {
        const { uid, gid, mode } = lstatSync(join(scratch.file('mapped'), id, name));
        return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
      });
    const seen: unknown[] = [];
    const root = { mode: 0o711, owner: (inherited: object) => (seen.push(inherited), { uid: 100_005, gid: 200_006 }) };
    const options = { parent: base, root };
    await mapped.createReadWrite(base, { durability: 'unsynced', root: { mode: 0o755 } });
    await mapped.createReadWrite(top, { ...options, durability: 'unsynced' });
    const made = ['0:200000 710', '100005:200006 711', '100000:200000 700'];
    expect(ownersOf(top)).toEqual(made);
    expect(seen).toEqual([{ uid: 100_000, gid: 200_000 }]);
    const plan = await mapped.plan(top);
    for (const lost of [['diff', 'work'], ['.']]) {
      for (const name of lost) rmSync(join(scratch.file('mapped'), top, name), { recursive: true });
      await mapped.restore(top, options);
      expect(ownersOf(top)).toEqual(made);
      expect(await mapped.plan(top)).toEqual(plan);
    }
  });

  it('give the root of a layer from before the maps as the host sees it', async () => {
    const ids = [{ container: 0, host: 100_000, size: 1000 }];
    const mapped = await openDriver('overlay2', home(), { mounter: new Mounter(), idMaps: { uids: ids, gids: ids } });
    const box = parseLayerId('box');
    await mapped.createReadWrite(box, { parent: middle, root: { mode: 0o755 } });
    expect(lstatSync(join(home(), box, 'diff'))).toMatchObject({ uid: 100_000, gid: 100_000 });
  });

  it('keep what was written into them', async () => {
    writeFileSync(join(home(), top, 'diff', 'mine'), 'mine');
    truncateSync(join(home(), top, 'lower'));
    await driver.restore(top, { parent: middle });
    expect(readFileSync(join(home(), top, 'diff', 'mine'), 'utf8')).toBe('mine');
  });

  it('are forgotten by a driver that remembers, when they go', async () => {
    const remembering = await open('remembered');
    await remembering.plan(top);
    await remembering.remove(top);
    await expect(remembering.plan(top)).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND' });
    expect(existsSync(join(home(), top))).toBe(false);
    await remembering.createReadWrite(top, { parent: base });
    expect(await remembering.plan(top)).toMatchObject({ lowers: [join(home(), base, 'diff')] });
  });
});
