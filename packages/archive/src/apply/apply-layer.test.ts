import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError, type ErrorCode } from '@layerstore/core';
import { nativeSyscalls, SystemError, type FileSyscalls } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer } from './apply-layer.js';
import { directory, file, layerArchive } from './testing/crafted-layer.js';
import { openDescriptors, refusal, TestDirectory } from './testing/test-tree.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

asRoot('what is measured (needs root)', () => {
  it('is the digest and size of the whole tar, with whatever follows its end', () => {
    const archive = Buffer.concat([layerArchive(file('a', 'hello'), directory('b')), Buffer.alloc(3000, 7)]);
    const chunks = [archive.subarray(0, 700), archive.subarray(700, 701), archive.subarray(701)];
    const seen: number[] = [];
    const applied = applyLayer(chunks, {
      tree: { path: test.tree(), dialect: 'overlay' },
      onBytes: (count) => seen.push(count),
    });
    expect(applied.diffId).toBe(`sha256:${createHash('sha256').update(archive).digest('hex')}`);
    expect(applied.tarSize).toBe(archive.length);
    expect(applied.contentSize).toBe(5);
    expect(applied.entries).toBe(2);
    expect(seen).toEqual([700, 1, archive.length - 701]);
  });

  it('is an empty layer for an empty archive', () => {
    const { path, applied } = test.apply([]);
    expect(applied).toMatchObject({ entries: 0, contentSize: 0, tarSize: 1024 });
    expect(readdirSync(path)).toEqual([]);
  });
});

asRoot('a layer that fails (needs root)', () => {
  /** The real kernel, but for one call that fails, once `after` of them have worked. */
  const failing = (syscall: keyof FileSyscalls, errno: string, after = 0): FileSyscalls => {
    let calls = 0;
    return new Proxy<FileSyscalls>(nativeSyscalls(), {
      get(real, name, receiver) {
        if (name === syscall && calls++ >= after) throw new SystemError(errno, -1, syscall);
        return Reflect.get(real, name, receiver) as unknown;
      },
    });
  };

  it.each<[keyof FileSyscalls, string, ErrorCode]>([
    ['write', 'ENOSPC', 'ERR_NO_SPACE'],
    ['openat', 'EDQUOT', 'ERR_NO_SPACE'],
    ['mkdirat', 'EIO', 'ERR_IO'],
    ['fchownat', 'EPERM', 'ERR_NEEDS_ROOT'],
    ['futimens', 'EIO', 'ERR_IO'],
  ])('at %s with %s gives %s, closes every descriptor and leaves no tar-split file', (syscall, errno, code) => {
    const before = openDescriptors();
    const tarSplitPath = join(test.path, 'split');
    const syscalls = failing(syscall, errno, syscall === 'openat' ? 2 : 0);
    const error = refusal(() =>
      test.apply([directory('d', { uid: 1 }), file('d/e/f', 'x'), file('d/e/g', 'x')], 'overlay', {
        syscalls,
        tarSplitPath,
      }),
    );
    expect(error.code).toBe(code);
    expect(openDescriptors()).toBe(before);
    expect(existsSync(tarSplitPath)).toBe(false);
  });

  it('names the member', () => {
    const error = refusal(() =>
      test.apply([directory('d'), file('d/f', 'x')], 'overlay', { syscalls: failing('write', 'ENOSPC') }),
    );
    expect(error).toMatchObject({ subject: 'd/f', message: 'd/f: no space left on the file system' });
  });

  it('stops at once when the listener of bytes throws', () => {
    const stop = new StoreError('ERR_ABORTED', 'cancelled');
    const error = refusal(() =>
      test.apply([file('a', 'x')], 'overlay', {
        onBytes: () => {
          throw stop;
        },
      }),
    );
    expect(error).toBe(stop);
  });

  it('is refused before anything is written when its tree has content', () => {
    const path = test.tree();
    writeFileSync(join(path, 'old'), 'x');
    const error = refusal(() => applyLayer([layerArchive(file('a', 'x'))], { tree: { path, dialect: 'overlay' } }));
    expect(error).toMatchObject({ code: 'ERR_EXISTS', subject: path });
    expect(readdirSync(path)).toEqual(['old']);
  });

  it('is refused when its tree is a symlink', () => {
    const path = join(test.path, 'link');
    spawnSync('ln', ['-s', test.tree(), path]);
    expect(refusal(() => applyLayer([layerArchive(file('a', 'x'))], { tree: { path, dialect: 'overlay' } })).code).toBe(
      'ERR_IO',
    );
  });
});
