/** Homes that nobody may write into, on a file system that takes no writes, and directories that are no homes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId } from '@layerstore/core';
import { driverNames, layerDiffs, LayerViews, openDriver, type DriverOptions } from '@layerstore/drivers';
import { Mounter } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LoopMount } from './support/loop.js';
import { isRoot, Scratch } from './support/scratch.js';

const [base, top] = [parseLayerId('base'), parseLayerId('top')];
const mounter = new Mounter();

let scratch: Scratch;
const states = new Set<string>();
beforeEach(() => {
  scratch = new Scratch('read-only');
});
afterEach(() => {
  scratch[Symbol.dispose]();
  for (const state of states) rmSync(state, { recursive: true });
  states.clear();
});

/** Two layers, the upper of which replaces a file and deletes another. */
async function fill(name: string, home: string): Promise<void> {
  const driver = await openDriver(name, home, { mounter });
  const views = new LayerViews(driver, mounter);
  await driver.create(base);
  {
    await using view = await views.lease(base);
    for (const file of ['kept', 'replaced', 'deleted']) writeFileSync(join(view.path, file), 'base');
  }
  await driver.create(top, { parent: base });
  await using view = await views.lease(top);
  writeFileSync(join(view.path, 'replaced'), 'top');
  rmSync(join(view.path, 'deleted'));
}

async function readOnly(name: string, home: string, options: Partial<DriverOptions> = {}) {
  const driver = await openDriver(name, home, { mounter, access: 'read-only', ...options });
  states.add(driver.state);
  return { driver, views: new LayerViews(driver, mounter) };
}

describe.skipIf(!isRoot).each(driverNames)('a home of %s (needs root)', (name) => {
  test('on a read-only file system is listed, mounted, compared and exported', async () => {
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 64);
    const home = join(disk.path, 'home');
    await fill(name, home);
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    await using workers = new ArchiveWorkers({ threads: 1 });
    const { driver, views } = await readOnly(name, home);
    expect((await driver.list()).sort()).toEqual([base, top]);
    {
      await using view = await views.lease(top);
      expect(readdirSync(view.path).sort()).toEqual(['kept', 'replaced']);
      expect(readFileSync(join(view.path, 'replaced'), 'utf8')).toBe('top');
    }
    const diffs = layerDiffs(driver, { workers, mounter });
    const changes = await diffs.changes(top, base);
    expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual([
      'delete /deleted',
      'modify /replaced',
    ]);
    const tar = scratch.file('top.tar');
    await diffs.diff(top, base, { path: tar });
    expect(execFileSync('tar', ['-tf', tar], { encoding: 'utf8' })).toContain('.wh.deleted');
  });

  test('on a read-only file system is refused for writing, with the way to read it', async () => {
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 64);
    await fill(name, join(disk.path, 'home'));
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    const driver = await openDriver(name, join(disk.path, 'home'), { mounter });
    await expect(driver.create(parseLayerId('new'))).rejects.toMatchObject({
      code: 'ERR_READ_ONLY',
      hint: expect.stringContaining('--read-only') as string,
    });
  });

  test('is not made by those who may not, and nothing is written where it would be', async () => {
    const [absent, foreign] = [scratch.file('absent'), scratch.file('foreign')];
    mkdirSync(join(foreign, 'etc'), { recursive: true });
    const opened = [{ access: 'read-only' }, { create: 'nothing' }] as const;
    for (const options of opened) {
      await expect(openDriver(name, absent, { mounter, ...options })).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
      await expect(openDriver(name, foreign, { mounter, ...options })).rejects.toMatchObject({
        code: 'ERR_NOT_A_HOME',
      });
      await expect(openDriver(name, join(foreign, 'file'), { mounter, ...options })).rejects.toThrow();
    }
    await expect(openDriver(name, foreign, { mounter, create: 'empty' })).rejects.toMatchObject({
      code: 'ERR_NOT_A_HOME',
    });
    expect(readdirSync(scratch.path)).toEqual(['foreign']);
    expect(readdirSync(foreign)).toEqual(['etc']);
    expect((await openDriver(name, absent, { mounter, create: 'empty' })).home).toBe(absent);
  });
});

describe.skipIf(!isRoot)('a home of overlay2 that lost its short links (needs root)', () => {
  test('is read without repairing them, however it is mounted', async () => {
    const home = scratch.file('home');
    await fill('overlay2', home);
    for (const name of readdirSync(join(home, 'l'))) rmSync(join(home, 'l', name));
    for (const method of ['fsopen', 'mount'] as const) {
      const { driver, views } = await readOnly('overlay2', home, { mounter: new Mounter({ method }) });
      await using view = await views.lease(top);
      expect(readFileSync(join(view.path, 'replaced'), 'utf8')).toBe('top');
      expect(await driver.parent(top)).toBe(base);
    }
    expect(readdirSync(join(home, 'l'))).toEqual([]);
  });
});
