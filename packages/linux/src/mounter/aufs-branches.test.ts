import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMountTable, type MountTableEntry } from '../mount-table.js';
import { readAufsBranches } from './aufs-branches.js';

/** Lines and files as a kernel with aufs 6.1 showed them. */
const line = (options: string): MountTableEntry =>
  parseMountTable(`40 27 0:40 / /mnt/view rw,relatime - aufs none ${options}\n`)[0]!;

describe('the branches of a mounted aufs', () => {
  let sysfs: string;
  beforeEach(() => {
    sysfs = mkdtempSync(join(tmpdir(), 'aufs-sysfs-'));
  });
  afterEach(() => rmSync(sysfs, { recursive: true }));

  it('are read from sysfs, in the order of their numbers', () => {
    const directory = join(sysfs, 'si_5e24d57bdccb226e');
    mkdirSync(directory);
    const branches = Array.from({ length: 12 }, (_, number) => ({
      path: `/diff/layer ${number}`,
      permission: number === 0 ? 'rw' : 'ro+wh',
    }));
    for (const [number, { path, permission }] of branches.entries()) {
      writeFileSync(join(directory, `br${number}`), `${path.replace(' ', '\\040')}=${permission}\n`);
      writeFileSync(join(directory, `brid${number}`), `${64 + number}\n`);
    }
    writeFileSync(join(directory, 'xi_path'), '/dev/shm/aufs.xino\n');
    expect(readAufsBranches(line('rw,si=5e24d57bdccb226e,dio,dirperm1'), sysfs)).toEqual(branches);
  });

  it('are read from the mount table where the module keeps them there', () => {
    const entry = line('rw,si=5e24d57bdccb226e,dio,br:/diff/a\\040b=rw:/diff/c=ro+wh');
    expect(readAufsBranches(entry, sysfs)).toEqual([
      { path: '/diff/a b', permission: 'rw' },
      { path: '/diff/c', permission: 'ro+wh' },
    ]);
  });

  it('are unknown where neither tells, or the number of the mount is no number', () => {
    expect(readAufsBranches(line('rw,si=5e24d57bdccb226e,dio'), sysfs)).toBeUndefined();
    mkdirSync(join(sysfs, 'elsewhere'));
    writeFileSync(join(sysfs, 'elsewhere/br0'), '/x=rw\n');
    expect(readAufsBranches(line('rw,si=/../elsewhere'), join(sysfs, 'si_'))).toBeUndefined();
  });
});
