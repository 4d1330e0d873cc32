import type { StoreError } from '@layerstore/core';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MS_BIND, O_DIRECTORY, O_PATH } from './constants.js';
import { nativeSyscalls } from './native-syscalls.js';
import { RecordingSyscalls } from './recording-syscalls.js';
import { removeTree } from './remove-tree.js';
import { AT_FDCWD } from './syscalls.js';

const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;

describe.skipIf(process.platform !== 'linux')('removeTree (Linux only)', () => {
  let base: string;
  let tree: string;

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'remove-tree-'));
    tree = join(base, 'tree');
    mkdirSync(join(base, 'outside'));
    writeFileSync(join(base, 'outside/kept'), '');
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  it('deletes files, links, fifos and directories, and names that are no UTF-8', () => {
    mkdirSync(join(tree, 'a/b/c'), { recursive: true });
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/a/`), Buffer.from([0xff, 0xfe])]), '');
    nativeSyscalls().mknodat(AT_FDCWD, join(tree, 'a/fifo'), 0o010600, 0, 0);
    symlinkSync('nowhere', join(tree, 'a/b/link'));
    removeTree(tree);
    expect(readdirSync(base)).toEqual(['outside']);
  });

  it('deletes a symlink, not what it shows, as the tree itself and inside it', () => {
    mkdirSync(tree);
    symlinkSync(join(base, 'outside'), join(tree, 'link'));
    removeTree(tree);
    symlinkSync(join(base, 'outside'), tree);
    removeTree(tree);
    expect(existsSync(tree)).toBe(false);
    expect(existsSync(join(base, 'outside/kept'))).toBe(true);
  });

  it('takes an absent tree for removed, and a single file for a tree', () => {
    removeTree(tree);
    removeTree(join(base, 'no/such/parent'));
    writeFileSync(tree, '');
    removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it('deletes trees of any depth with few open descriptors', () => {
    const native = nativeSyscalls();
    mkdirSync(tree);
    let fd = native.openat(AT_FDCWD, tree, O_DIRECTORY | O_PATH);
    for (let depth = 0; depth < 2500; depth++) {
      native.mkdirat(fd, 'deeper', 0o755);
      if (depth % 100 === 0) native.mkdirat(fd, `.deep-${depth / 100}`, 0o755);
      const next = native.openat(fd, 'deeper', O_DIRECTORY | O_PATH);
      native.close(fd);
      fd = next;
    }
    native.close(fd);
    let open = 0;
    let most = 0;
    const counting = new RecordingSyscalls({
      ...native,
      openat2: (...args) => {
        most = Math.max(most, ++open);
        return native.openat2(...args);
      },
      close: (closed) => {
        open--;
        native.close(closed);
      },
    });
    removeTree(tree, counting);
    expect(existsSync(tree)).toBe(false);
    expect(most).toBeLessThan(100);
  });

  it('does not follow a directory that is swapped for a symlink while it works', () => {
    mkdirSync(join(tree, 'victim'), { recursive: true });
    const native = nativeSyscalls();
    const racing = new RecordingSyscalls({
      ...native,
      openat2: (directory, path, how) => {
        if (String(path) === 'victim' && existsSync(join(tree, 'victim'))) {
          renameSync(join(tree, 'victim'), join(base, 'moved'));
          symlinkSync(join(base, 'outside'), join(tree, 'victim'));
        }
        return native.openat2(directory, path, how);
      },
    });
    expect(() => removeTree(tree, racing)).toThrow(code('ERR_IO'));
    expect(existsSync(join(base, 'outside/kept'))).toBe(true);
  });

  it('goes on where another process has deleted something first', () => {
    mkdirSync(join(tree, 'a/b'), { recursive: true });
    mkdirSync(join(tree, 'c'));
    const native = nativeSyscalls();
    const racing = new RecordingSyscalls({
      ...native,
      openat2: (directory, path, how) => {
        if (String(path) === 'b') rmSync(join(tree, 'a/b'), { recursive: true, force: true });
        return native.openat2(directory, path, how);
      },
      unlinkat: (directory, path, flags) => {
        if (String(path) === 'file') rmSync(join(tree, 'c'), { recursive: true, force: true });
        native.unlinkat(directory, path, flags);
      },
    });
    writeFileSync(join(tree, 'c/file'), '');
    removeTree(tree, racing);
    expect(existsSync(tree)).toBe(false);
  });

  describe.skipIf(process.getuid?.() !== 0)('with mounts (needs root)', () => {
    it('deletes nothing when something is mounted below', () => {
      const sys = nativeSyscalls();
      mkdirSync(join(tree, 'a/point'), { recursive: true });
      mkdirSync(join(tree, 'b'));
      sys.mount(join(base, 'outside'), join(tree, 'a/point'), '', MS_BIND, '');
      try {
        expect(() => removeTree(tree)).toThrow(code('ERR_BUSY'));
        expect(() => removeTree(join(tree, 'a/point'))).toThrow(code('ERR_BUSY'));
        expect(readdirSync(tree)).toEqual(['a', 'b']);
      } finally {
        sys.umount(join(tree, 'a/point'), 0);
      }
      expect(existsSync(join(base, 'outside/kept'))).toBe(true);
    });

    it('does not enter a mount that is made while it works, be it of the same file system', () => {
      const sys = nativeSyscalls();
      mkdirSync(join(tree, 'point'), { recursive: true });
      let mounted = false;
      const racing = new RecordingSyscalls({
        ...sys,
        openat2: (directory, path, how) => {
          if (String(path) === 'point' && !mounted) {
            mounted = true;
            sys.mount(join(base, 'outside'), join(tree, 'point'), '', MS_BIND, '');
          }
          return sys.openat2(directory, path, how);
        },
      });
      try {
        expect(() => removeTree(tree, racing)).toThrow(code('ERR_BUSY'));
      } finally {
        sys.umount(join(tree, 'point'), 0);
      }
      expect(mounted).toBe(true);
      expect(existsSync(join(base, 'outside/kept'))).toBe(true);
    });
  });
});
