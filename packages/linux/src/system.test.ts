import { readFileSync } from 'node:fs';
import type { StoreError } from '@layerstore/core';
import { describe, expect, it } from 'vitest';
import { RecordingSyscalls } from './recording-syscalls.js';
import { backingFileSystem, bootId, kernelKnowsFileSystem, requireLinuxRoot } from './system.js';

describe.skipIf(process.platform !== 'linux')('facts of the system (Linux only)', () => {
  it('names file systems as Docker does, and gives the number of unknown ones', () => {
    expect(backingFileSystem('/proc')).toEqual({ type: 0x9fa0, name: 'proc' });
    expect(backingFileSystem('/dev/shm').name).toBe('tmpfs');
    const space = { blockSize: 1, blocks: 1n, available: 1n, freeInodes: 1n };
    const strange = new RecordingSyscalls({ statfs: () => ({ type: 0xabcdef, ...space }) });
    expect(backingFileSystem('/', strange).name).toBe('0xabcdef');
  });

  it('knows the file systems that the kernel lists or finds a module for', () => {
    expect(kernelKnowsFileSystem('proc')).toBe(true);
    expect(kernelKnowsFileSystem('no-such-file-system')).toBe(false);
    const loading = new RecordingSyscalls();
    expect(kernelKnowsFileSystem('module-only', loading)).toBe(true);
    expect(loading.names).toEqual(['fsopen', 'close']);
  });

  it('has one boot id until the next start', () => {
    expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
    expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  });

  it('asks for root in words that name the operation', () => {
    const effective = process.geteuid?.() === 0;
    const need = (): void => requireLinuxRoot('mounting a container');
    if (effective) expect(need).not.toThrow();
    else expect(need).toThrow(expect.objectContaining({ code: 'ERR_NEEDS_ROOT' }) as StoreError);
  });
});
