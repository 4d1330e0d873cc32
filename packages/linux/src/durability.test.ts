import type { StoreError } from '@layerstore/core';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { syncDirectory, syncFile, syncFileSystem, writeFileDurably } from './durability.js';

const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;

describe('durable files', () => {
  let base: string;

  beforeEach(() => {
    base = mkdtempSync(join(process.platform === 'linux' ? '/dev/shm' : tmpdir(), 'durability-'));
  });
  afterEach(() => rmSync(base, { recursive: true }));

  it('are replaced whole, with the mode asked for whatever the umask', () => {
    const path = join(base, 'VERSION');
    writeFileDurably(path, '1\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    writeFileDurably(path, Buffer.from([0, 255]), 0o666);
    expect(readFileSync(path)).toEqual(Buffer.from([0, 255]));
    expect(statSync(path).mode & 0o777).toBe(0o666);
    expect(readdirSync(base)).toEqual(['VERSION']);
  });

  it('leave nothing behind when they cannot be put in place', () => {
    mkdirSync(join(base, 'taken/by/a/directory'), { recursive: true });
    expect(() => writeFileDurably(join(base, 'taken'), 'x')).toThrow(code('ERR_IO'));
    expect(readdirSync(base)).toEqual(['taken']);
    expect(() => writeFileDurably(join(base, 'absent/file'), 'x')).toThrow(/absent\/file: ENOENT/);
  });

  it.skipIf(process.platform !== 'linux')('are synced by file, directory and file system (syncfs: Linux only)', () => {
    writeFileDurably(join(base, 'file'), 'x');
    syncFile(join(base, 'file'));
    syncDirectory(base);
    syncFileSystem(base);
    for (const sync of [syncFile, syncDirectory, syncFileSystem]) {
      expect(() => sync(join(base, 'absent'))).toThrow(code('ERR_IO'));
    }
  });
});
