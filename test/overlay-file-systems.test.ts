/** The overlay driver on file systems that it refuses, or knows from the time before they were refused. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId, type Logger } from '@layerstore/core';
import { openDriver } from '@layerstore/drivers';
import { Mounter } from '@layerstore/linux';
import { describe, expect, test } from 'vitest';
import { LoopMount } from './support/loop.js';
import { isRoot, Scratch } from './support/scratch.js';

const layer = parseLayerId('layer');

describe.skipIf(!isRoot)('the overlay driver (needs root)', () => {
  test('refuses btrfs by name, as Docker does, and makes nothing there', async () => {
    using scratch = new Scratch('btrfs');
    using disk = LoopMount.make(scratch.path, 'disk', 'btrfs', 120);
    const home = join(disk.path, 'overlay');
    await expect(openDriver('overlay', home, { mounter: new Mounter() })).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE_FILE_SYSTEM',
      message: expect.stringContaining('overlay cannot work on btrfs') as string,
    });
    expect(existsSync(home)).toBe(false);
  });

  test('makes no home without d_type, and opens one that is in use, with a warning', async () => {
    using scratch = new Scratch('d-type');
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 20, ['-O', '^filetype']);
    const home = join(disk.path, 'overlay');
    const warnings: string[] = [];
    const nothing = (): void => undefined;
    const logger: Logger = { debug: nothing, info: nothing, error: nothing, warn: (_, text) => warnings.push(text) };
    await expect(openDriver('overlay', home, { mounter: new Mounter(), logger })).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE_FILE_SYSTEM',
      message: expect.stringContaining('d_type') as string,
    });
    mkdirSync(join(home, layer, 'root'), { recursive: true });
    writeFileSync(join(home, layer, 'root', 'file'), '');
    const driver = await openDriver('overlay', home, { mounter: new Mounter(), logger });
    expect(Object.fromEntries(await driver.status())).toMatchObject({ 'Supports d_type': 'false' });
    expect(warnings).toEqual([expect.stringContaining('no d_type') as string]);
    expect(await driver.list()).toEqual([layer]);
    const plan = await driver.plan(layer);
    await new Mounter().withMount(plan, driver.mountPoint(layer), (view) => {
      expect(readdirSync(view)).toEqual(['file']);
      return Promise.resolve();
    });
  });
});
