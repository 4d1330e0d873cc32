import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { Mounter, nativeSyscalls, RecordingSyscalls, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openOverlay2 } from './open-overlay2.js';

describe.skipIf(process.geteuid?.() !== 0)('openOverlay2 (needs root)', () => {
  let directory: string;
  let mounted: string[];
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-open-overlay2-')));
    mounted = [];
  });
  afterEach(async () => {
    for (const target of mounted) await new Mounter().unmount(target);
    removeTree(directory);
  });

  const open = (home: string, mounter = new Mounter()): ReturnType<typeof openOverlay2> =>
    openOverlay2(home, { mounter });

  const mountFileSystem = (type: string): string => {
    const target = join(directory, type);
    mkdirSync(target);
    nativeSyscalls().mount(type, target, type, 0, '');
    mounted.push(target);
    return target;
  };

  test('tries a new home with one mount, and does not try it again', async () => {
    const home = join(directory, 'home');
    const first = new RecordingSyscalls(nativeSyscalls());
    await open(home, new Mounter({ syscalls: first, method: 'fsopen' }));
    expect(first.names.filter((name) => name === 'moveMount')).toHaveLength(1);
    const second = new RecordingSyscalls(nativeSyscalls());
    await open(home, new Mounter({ syscalls: second }));
    expect(second.calls).toEqual([]);
  });

  test('tries again after a restart of the machine, and on another file system', async () => {
    const home = join(directory, 'home');
    await open(home);
    const record = join(home, '.layerstore', 'probed');
    const [, ...rest] = readFileSync(record, 'utf8').split(' ');
    writeFileSync(record, ['another-boot', ...rest].join(' '));
    const syscalls = new RecordingSyscalls(nativeSyscalls());
    await open(home, new Mounter({ syscalls, method: 'fsopen' }));
    expect(syscalls.names).toContain('moveMount');
  });

  test('refuses a file system without extended attributes and says what failed', async () => {
    const home = join(mountFileSystem('ramfs'), 'home');
    await expect(open(home)).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE_FILE_SYSTEM',
      message: expect.stringContaining('ramfs cannot carry overlay2: ') as string,
      hint: expect.stringContaining('ext4') as string,
    });
  });

  test('works on tmpfs', async () => {
    const driver = await open(join(mountFileSystem('tmpfs'), 'home'));
    expect(Object.fromEntries(await driver.status())).toMatchObject({ 'Backing Filesystem': 'tmpfs' });
  });

  test('refuses a home that lies on an overlay', async () => {
    for (const name of ['lower', 'base', 'upper', 'work']) mkdirSync(join(directory, name));
    const target = join(directory, 'merged');
    const view = await new Mounter().mount(
      {
        kind: 'overlay',
        lowers: [join(directory, 'lower'), join(directory, 'base')],
        upper: { path: join(directory, 'upper'), work: join(directory, 'work') },
        options: [],
      },
      target,
    );
    mounted.push(target);
    await expect(open(join(view, 'home'))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE_FILE_SYSTEM',
      message: expect.stringContaining('overlayfs') as string,
    });
  });

  test('does not remove a layer whose view somebody has mounted elsewhere', async () => {
    const driver = await open(join(directory, 'home'));
    const [base, box] = [parseLayerId('base'), parseLayerId('box')];
    await driver.create(base);
    await driver.createReadWrite(box, { parent: base });
    const target = join(directory, 'elsewhere');
    await new Mounter().mount(await driver.plan(box), target);
    mounted.push(target);
    await expect(driver.remove(box)).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining(target) as string,
    });
    expect(await driver.exists(box)).toBe(true);
  });
});
