import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { Mounter, nativeSyscalls } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../home/home.js';
import { SizeLimits } from '../home/size-limits.js';
import { VfsDriver, type VfsParts } from './vfs-driver.js';

const [base, labelled, relabelled] = ['base', 'labelled', 'relabelled'].map(parseLayerId) as [never, never, never];
const label = 'system_u:object_r:container_file_t:s0:c1,c2';

describe.skipIf(process.geteuid?.() !== 0)('vfs (needs root)', () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-vfs-')));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const open = (labels: VfsParts['labels']): VfsDriver => {
    const home = Home.open(join(directory, 'home'), { mounter: new Mounter() });
    home.makeSubdirectory('dir', 0o710);
    const sizes = { driver: 'vfs', keys: [], storageOptions: undefined };
    return new VfsDriver({ home, labels, sizeLimits: SizeLimits.open(home, join(home.path, 'dir'), sizes) });
  };
  const labelsOf = (id: string): (string | undefined)[] =>
    ['', 'etc', 'etc/file'].map((path) =>
      nativeSyscalls()
        .getXattr(join(directory, 'home', 'dir', id, path), 'security.selinux')
        ?.toString(),
    );
  const makeBase = async (driver: VfsDriver): Promise<void> => {
    await driver.create(base);
    const { tree } = await driver.applyTarget(base);
    mkdirSync(join(tree.path, 'etc'));
    writeFileSync(join(tree.path, 'etc', 'file'), '');
  };

  test('labels every copy where SELinux is switched on, whatever label the original has', async () => {
    const driver = open('used');
    await makeBase(driver);
    await driver.createReadWrite(labelled, { parent: base, mountLabel: label });
    expect(labelsOf(labelled)).toEqual(Array.from({ length: 3 }, () => `${label}\0`));
    expect(labelsOf(base)).toEqual([undefined, undefined, undefined]);
    await driver.createReadWrite(relabelled, { parent: labelled, mountLabel: 'u:r:other_t:s0' });
    expect(labelsOf(relabelled)).toEqual(Array.from({ length: 3 }, () => 'u:r:other_t:s0\0'));
  });

  test('writes no label where there is no SELinux, and takes no other text for one in any case', async () => {
    const driver = open('ignored');
    await makeBase(driver);
    await driver.createReadWrite(labelled, { parent: base, mountLabel: label });
    expect(labelsOf(labelled)).toEqual([undefined, undefined, undefined]);
    await expect(driver.createReadWrite(relabelled, { parent: base, mountLabel: 'a",x="b' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    expect(await driver.exists(relabelled)).toBe(false);
  });

  test('does not take an empty id for the directory of all layers', async () => {
    const driver = open('ignored');
    await makeBase(driver);
    await expect(driver.remove('' as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ID' });
    expect(await driver.list()).toEqual([base]);
  });
});
