import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode, parseLayerId } from '@layerstore/core';
import { hasErrno, Mounter, nativeSyscalls, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { driverNames, openDriver } from './registry.js';

const [base, child] = [parseLayerId('base'), parseLayerId('child')];

describe.skipIf(process.geteuid?.() !== 0)('on a full file system (needs root)', () => {
  let directory: string;
  let disk: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-full-')));
    disk = join(directory, 'disk');
    mkdirSync(disk);
    nativeSyscalls().mount('tmpfs', disk, 'tmpfs', 0, 'nr_inodes=100');
  });
  afterEach(async () => {
    await new Mounter().unmount(disk);
    removeTree(directory);
  });

  /** Takes every inode, then gives some back. */
  const fill = (leave: number): void => {
    const filler = join(disk, 'filler');
    rmSync(filler, { recursive: true, force: true });
    mkdirSync(filler);
    let count = 0;
    for (;;) {
      try {
        writeFileSync(join(filler, String(count)), '');
        count += 1;
      } catch (error) {
        if (hasErrno(error, 'ENOSPC')) break;
        throw error;
      }
    }
    for (let number = 0; number < leave; number++) rmSync(join(filler, String(number)));
  };

  test.each(driverNames)('%s removes a layer although there is no room for anything new', async (name) => {
    const driver = await openDriver(name, join(disk, 'home'), { mounter: new Mounter() });
    await driver.create(base);
    writeFileSync(join((await driver.applyTarget(base)).tree.path, 'file'), '');
    fill(0);
    await driver.remove(base);
    expect(await driver.list()).toEqual([]);
    expect(readdirSync(join(disk, 'home', '.layerstore', 'staging'))).toEqual([]);
  });

  test.each(driverNames)('%s is opened, and deletes what is left in staging', async (name) => {
    const home = join(disk, 'home');
    await openDriver(name, home, { mounter: new Mounter() });
    const staging = join(home, '.layerstore', 'staging');
    mkdirSync(join(staging, 'left-behind', 'layer'), { recursive: true });
    fill(0);
    await openDriver(name, home, { mounter: new Mounter() });
    expect(readdirSync(staging)).toEqual([]);
  });

  test.each(driverNames)('%s makes a layer whole or not at all, wherever the space ends', async (name) => {
    const home = join(disk, 'home');
    const driver = await openDriver(name, home, { mounter: new Mounter() });
    await driver.create(base);
    for (const file of ['a', 'b', 'c']) writeFileSync(join((await driver.applyTarget(base)).tree.path, file), '');
    const outcomes = new Set<string>();
    for (let left = 0; left < 14; left++) {
      fill(left);
      const outcome = await driver.create(child, { parent: base }).then(
        () => 'made',
        (error: unknown) => (hasCode(error, 'ERR_NO_SPACE') ? 'no space' : String(error)),
      );
      outcomes.add(outcome);
      expect(readdirSync(join(home, '.layerstore', 'staging'))).toEqual([]);
      expect((await driver.list()).sort()).toEqual(outcome === 'made' ? [base, child] : [base]);
      if (existsSync(join(home, 'l'))) expect(readdirSync(join(home, 'l'))).toHaveLength(outcome === 'made' ? 2 : 1);
      if (outcome === 'made') await driver.remove(child);
    }
    expect([...outcomes]).toEqual(['no space', 'made']);
  });
});
