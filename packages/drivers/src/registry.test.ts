import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mounter } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { driverNames, openDriver } from './registry.js';

describe('openDriver', () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-registry-')));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const options = { mounter: new Mounter() };

  test.each(['btrfs', '', 'constructor', '__proto__'])('knows no driver %j and says which there are', async (name) => {
    await expect(openDriver(name, join(directory, 'home'), options)).rejects.toMatchObject({
      code: 'ERR_UNKNOWN_DRIVER',
      hint: `drivers are ${driverNames.join(', ')}`,
    });
    expect(existsSync(join(directory, 'home'))).toBe(false);
  });

  test('takes no relative home, which would mean another place after chdir', async () => {
    await expect(openDriver('vfs', 'home', options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test.each([
    ['overlay2', 'overlay2.size', 'ERR_NOT_SUPPORTED'],
    ['overlay2', 'size', 'ERR_UNKNOWN_OPTION'],
    ['overlay2', 'vfs.size', 'ERR_UNKNOWN_OPTION'],
    ['overlay2', '__proto__', 'ERR_UNKNOWN_OPTION'],
    ['vfs', 'size', 'ERR_NOT_SUPPORTED'],
    ['vfs', 'overlay2.override_kernel_check', 'ERR_UNKNOWN_OPTION'],
  ])('refuses for %s the storage option %s with %s', async (name, key, code) => {
    const storageOptions = Object.fromEntries([[key, '1G']]);
    const home = join(directory, 'home');
    await expect(openDriver(name, home, { ...options, storageOptions })).rejects.toMatchObject({ code });
    expect(existsSync(home)).toBe(false);
  });

  test('makes a home that is not there, 0710, and opens it again', async () => {
    const home = join(directory, 'deep', 'home');
    const driver = await openDriver('vfs', home, options);
    expect(driver).toMatchObject({ name: 'vfs', home });
    expect((await openDriver('vfs', home, options)).home).toBe(home);
  });
});
