import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, nativeSyscalls, S_IFCHR, S_IFSOCK } from '@layerstore/linux';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listTree } from '../apply/testing/tree-listing.js';
import { copyTree } from './copy.js';
import { randomEdits } from './testing/random-edits.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-copy-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(process.getuid?.() !== 0)('copyTree (needs root: makes devices and changes owners)', () => {
  it('copies random trees exactly', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 60 }), (seed, steps) => {
        const run = mkdtempSync(join(directory, 'run-'));
        const from = join(run, 'from');
        mkdirSync(from);
        randomEdits(from, seed, steps);
        copyTree(from, join(run, 'to'));
        expect(listTree(join(run, 'to'))).toEqual(listTree(from));
        rmSync(run, { recursive: true });
      }),
      { numRuns: 40 },
    );
  });

  it('keeps overlay marks: whiteouts, opaque directories, sockets too', () => {
    const from = join(directory, 'from');
    mkdirSync(join(from, 'opaque'), { recursive: true });
    const kernel = nativeSyscalls();
    kernel.setXattr(join(from, 'opaque'), 'trusted.overlay.opaque', Buffer.from('y'));
    kernel.mknodat(AT_FDCWD, join(from, 'gone'), S_IFCHR, 0, 0);
    kernel.mknodat(AT_FDCWD, join(from, 'socket'), S_IFSOCK | 0o700, 0, 0);
    copyTree(from, join(directory, 'to'));
    expect(listTree(join(directory, 'to'))).toEqual(listTree(from));
  });

  it('keeps holes, also at the end', () => {
    const from = join(directory, 'from');
    mkdirSync(from);
    const file = join(from, 'sparse');
    execFileSync('truncate', ['-s', '64M', file]);
    execFileSync('dd', [
      'if=/dev/urandom',
      `of=${file}`,
      'bs=64K',
      'count=1',
      'seek=100',
      'conv=notrunc',
      'status=none',
    ]);
    copyTree(from, join(directory, 'to'));
    expect(listTree(join(directory, 'to'))).toEqual(listTree(from));
    const copied = nativeSyscalls().statx(AT_FDCWD, join(directory, 'to', 'sparse'), AT_SYMLINK_NOFOLLOW);
    expect(copied.size).toBe(64 * 1024 * 1024);
    expect(copied.allocated).toBeLessThan(1024 * 1024);
  });

  it('copies between two file systems, where the kernel does not copy ranges', () => {
    const from = mkdtempSync('/dev/shm/layerstore-copy-');
    try {
      randomEdits(from, 42, 50);
      copyTree(from, join(directory, 'to'));
      expect(listTree(join(directory, 'to'))).toEqual(listTree(from));
    } finally {
      rmSync(from, { recursive: true });
    }
  });

  it('shares extents on a file system that can', () => {
    const image = join(directory, 'btrfs.img');
    const mounted = join(directory, 'mounted');
    mkdirSync(mounted);
    execFileSync('truncate', ['-s', '128M', image]);
    execFileSync('mkfs.btrfs', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, mounted]);
    try {
      mkdirSync(join(mounted, 'from'));
      execFileSync('dd', ['if=/dev/urandom', `of=${join(mounted, 'from', 'file')}`, 'bs=1M', 'count=8', 'status=none']);
      copyTree(join(mounted, 'from'), join(mounted, 'to'));
      expect(listTree(join(mounted, 'to'))).toEqual(listTree(join(mounted, 'from')));
      execFileSync('sync', ['-f', mounted]);
      expect(execFileSync('filefrag', ['-v', join(mounted, 'to', 'file')], { encoding: 'utf8' })).toContain('shared');
    } finally {
      execFileSync('umount', [mounted]);
    }
  });

  it('refuses a target that holds something, and touches nothing there', () => {
    mkdirSync(join(directory, 'from'));
    mkdirSync(join(directory, 'to'));
    writeFileSync(join(directory, 'to', 'kept'), 'kept');
    const before = listTree(join(directory, 'to'));
    expect(() => copyTree(join(directory, 'from'), join(directory, 'to'))).toThrow(
      expect.objectContaining({ code: 'ERR_EXISTS' }) as Error,
    );
    expect(listTree(join(directory, 'to'))).toEqual(before);
  });

  it('names a source that does not exist', () => {
    expect(() => copyTree(join(directory, 'nothing'), join(directory, 'to'))).toThrow(
      expect.objectContaining({ code: 'ERR_IO', message: expect.stringContaining('nothing') as string }) as Error,
    );
  });

  it('stops at a mount below the source: its content is not the tree’s', () => {
    const from = join(directory, 'from');
    mkdirSync(join(from, 'mounted'), { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(from, 'mounted')]);
    try {
      expect(() => copyTree(from, join(directory, 'to'))).toThrow(
        expect.objectContaining({
          code: 'ERR_BUSY',
          message: expect.stringContaining('from/mounted') as string,
        }) as Error,
      );
    } finally {
      execFileSync('umount', [join(from, 'mounted')]);
    }
  });
});
