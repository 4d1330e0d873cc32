import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MS_REMOUNT, UMOUNT_NOFOLLOW } from '../constants.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { Mounter } from './mounter.js';
import { RecordedAufs } from './testing/recorded-aufs.js';

/**
 * Directories stand for the view and its branch: what a real aufs does when a file's times are set was measured, here it
 * is held that exactly the right files are touched, and in which order the rest happens.
 */
describe('unmounting an aufs that has pseudo-links, on recorded calls', () => {
  let base: string;
  let view: string;
  let branch: string;
  let links: string;
  let kernel: RecordedAufs;
  beforeEach(async () => {
    base = mkdtempSync(join(tmpdir(), 'aufs-plink-'));
    [view, branch] = [join(base, 'view'), join(base, 'branch')];
    links = join(branch, '.wh..wh.plnk');
    const native = nativeSyscalls();
    kernel = new RecordedAufs('no labels', {
      statxIfPresent: (...args) => native.statxIfPresent(...args),
      utimensat: (...args) => {
        native.utimensat(...args);
      },
      unlinkat: (...args) => {
        native.unlinkat(...args);
      },
    });
    const plan = { kind: 'aufs', branches: [branch, '/lower'], writable: true, options: [] } as const;
    await new Mounter({ syscalls: kernel.sys, kernel }).mount(plan, view);
    kernel.sys.calls.length = 0;
    mkdirSync(links, { recursive: true });
    mkdirSync(join(view, 'deep/er'), { recursive: true });
    for (const name of ['linked', 'deep/other']) {
      writeFileSync(join(view, name), name);
      utimesSync(join(view, name), 1_500_000_000, 1_600_000_000);
    }
    linkSync(join(view, 'linked'), join(view, 'deep/er/same'));
  });
  afterEach(() => rmSync(base, { recursive: true }));

  const unmount = (): Promise<void> => new Mounter({ syscalls: kernel.sys, kernel }).unmount(view);
  const inode = (name: string): string => String(statSync(join(view, name)).ino);

  it('touches every name of the linked files with their own times, forgets the links, deletes them, then unmounts', async () => {
    writeFileSync(join(links, `${inode('linked')}.77`), '');
    writeFileSync(join(links, '4711.78'), 'its last name was deleted');
    const before = statSync(join(view, 'linked'));
    await unmount();
    const touched = kernel.sys.argumentsOf('utimensat').map(([, path]) => String(path));
    expect(touched.sort()).toEqual([join(view, 'deep/er/same'), join(view, 'linked')]);
    expect(statSync(join(view, 'linked')).mtimeMs).toBe(before.mtimeMs);
    expect(kernel.sys.names.filter((name) => !name.startsWith('statx'))).toEqual([
      'utimensat',
      'utimensat',
      'mount',
      'unlinkat',
      'unlinkat',
      'umount',
    ]);
    expect(kernel.sys.argumentsOf('mount')).toEqual([['none', view, 'aufs', MS_REMOUNT, 'clean_plink']]);
    expect(kernel.sys.argumentsOf('umount')).toEqual([[view, UMOUNT_NOFOLLOW]]);
    expect(readdirSync(links)).toEqual([]);
  });

  it('walks no view when there are none', async () => {
    await unmount();
    expect(kernel.sys.names).toEqual(['umount']);
  });

  it('keeps them when they cannot be flushed, and unmounts all the same, as Docker does', async () => {
    writeFileSync(join(links, `${inode('linked')}.77`), '');
    kernel.sys.fail('utimensat', 'ENOSPC');
    await unmount();
    expect(kernel.sys.names.filter((name) => !name.startsWith('statx'))).toEqual(['utimensat', 'umount']);
    expect(readdirSync(links)).toHaveLength(1);
  });
});
