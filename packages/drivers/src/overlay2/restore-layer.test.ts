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
