/** What drivers do on file systems of their own kinds: shared extents on btrfs, projects on xfs. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { openDriver } from '@layerstore/drivers';
import { describeDriver } from '@layerstore/drivers/conformance';
import { Mounter, nativeProjectQuotaCalls } from '@layerstore/linux';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LoopMount } from './support/loop.js';
import { isRoot, Scratch } from './support/scratch.js';

const [base, child] = [parseLayerId('base'), parseLayerId('child')];
const mounter = new Mounter();

describe.skipIf(!isRoot)('on btrfs (needs root)', () => {
  let scratch: Scratch;
  let disk: LoopMount;
  beforeAll(() => {
    scratch = new Scratch('btrfs');
    disk = LoopMount.make(scratch.path, 'disk', 'btrfs', 300);
  });
  afterAll(() => {
    disk[Symbol.dispose]();
    scratch[Symbol.dispose]();
  });

  /** Where a file's data lies on the disk. */
  const extents = (path: string): string[] =>
    execFileSync('filefrag', ['-v', path], { encoding: 'utf8' })
      .split('\n')
      .flatMap((line) => /^ *\d+: *[\d. ]+: *(\d+)\.\./.exec(line)?.[1] ?? []);

  test('a vfs layer shares the data of its parent until one of them changes it', async () => {
    const driver = await openDriver('vfs', join(disk.path, 'vfs'), { mounter });
    await driver.create(base);
    const pathIn = async (id: typeof base): Promise<string> => join((await driver.applyTarget(id)).tree.path, 'file');
    writeFileSync(await pathIn(base), Buffer.alloc(20 * 1024 * 1024, 'x'));
    await driver.create(child, { parent: base });
    execFileSync('sync', ['-f', disk.path]);
    const before = extents(await pathIn(base));
    expect(before.length).toBeGreaterThan(0);
    expect(extents(await pathIn(child))).toEqual(before);
    appendFileSync(await pathIn(child), 'more');
    expect(readFileSync(await pathIn(base)).length).toBe(20 * 1024 * 1024);
    const size = 25;
    for (let number = 0; number < size; number++) await driver.create(parseLayerId(`n-${number}`), { parent: base });
    expect(readFileSync(join(driver.home, 'dir', 'n-24', 'file')).length).toBe(20 * 1024 * 1024);
  });

  describe('through all that every driver must do', () => {
    const directory = (): string => {
      mkdirSync(join(disk.path, 'homes'), { recursive: true });
      return join(disk.path, 'homes');
    };
    describeDriver({
      title: 'vfs on btrfs',
      get directory() {
        return directory();
      },
      open: (home, tools) => openDriver('vfs', home, tools),
    });
  });
});

describe.skipIf(!isRoot)('on xfs (needs root)', () => {
  test('a directory is given to a project, and without quotas in the kernel a size is refused with the reason', async () => {
    using scratch = new Scratch('xfs');
    using disk = LoopMount.make(scratch.path, 'disk', 'xfs', 320);
    const calls = nativeProjectQuotaCalls();
    const tree = join(disk.path, 'tree');
    mkdirSync(tree);
    calls.setProject(tree, 4711);
    mkdirSync(join(tree, 'inside'));
    expect([calls.projectOf(tree), calls.projectOf(join(tree, 'inside'))]).toEqual([4711, 4711]);
    for (const [name, key] of [
      ['overlay2', 'overlay2.size'],
      ['vfs', 'size'],
    ] as const) {
      const storageOptions = { [key]: '1G' };
      await expect(openDriver(name, join(disk.path, name), { mounter, storageOptions })).rejects.toMatchObject({
        code: 'ERR_NOT_SUPPORTED',
        message: expect.stringMatching(/the kernel has no project quotas|without prjquota/) as string,
      });
      const driver = await openDriver(name, join(disk.path, name), { mounter });
      expect(driver.abilities.quota).toBe(false);
      await expect(driver.createReadWrite(base, { storageOptions: { size: '1G' } })).rejects.toMatchObject({
        code: 'ERR_NOT_SUPPORTED',
      });
      expect(await driver.list()).toEqual([]);
    }
  });

  test('elsewhere a size is refused before anything is made', async () => {
    using scratch = new Scratch('no-xfs');
    const home = scratch.file('home');
    await expect(
      openDriver('overlay2', home, { mounter, storageOptions: { 'overlay2.size': '1G' } }),
    ).rejects.toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
      message: expect.stringContaining('only xfs') as string,
    });
    expect(existsSync(home)).toBe(false);
  });
});
