import type { StoreError } from '@layerstore/core';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kernelTables } from '../kernel-tables.js';
import type { OverlayPlan } from '../mount-plan.js';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { Mounter } from './mounter.js';

const memory = '/dev/shm';
const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;

describe.skipIf(process.platform !== 'linux')(
  'Mounter on recorded calls (Linux only: it reads the mount table)',
  () => {
    /** With SELinux, which the machine of the test need not have. */
    const kernel = { ...kernelTables, takesLabels: () => true };
    let base: string;
    let target: string;
    const plan: OverlayPlan = {
      kind: 'overlay',
      lowers: ['/layers/b', '/layers/a,1'],
      upper: { path: '/layers/upper', work: '/layers/work' },
      options: ['metacopy=off', 'userxattr', 'context="system_u:object_r:container_file_t:s0:c1,c2"'],
    };

    beforeEach(() => {
      base = mkdtempSync(join(memory, 'mounter-'));
      target = join(base, 'view');
    });
    afterEach(() => rmSync(base, { recursive: true }));

    it('hands directories over as descriptors and closes all of them', async () => {
      const sys = new RecordingSyscalls();
      await new Mounter({ syscalls: sys, kernel }).mount(plan, target);
      expect(sys.argumentsOf('fsconfig').map(([, config]) => config)).toEqual([
        { command: 'string', key: 'source', value: 'overlay' },
        { command: 'fd', key: 'lowerdir+', fd: 101 },
        { command: 'fd', key: 'lowerdir+', fd: 102 },
        { command: 'fd', key: 'upperdir', fd: 103 },
        { command: 'fd', key: 'workdir', fd: 104 },
        { command: 'string', key: 'metacopy', value: 'off' },
        { command: 'flag', key: 'userxattr' },
        { command: 'string', key: 'context', value: 'system_u:object_r:container_file_t:s0:c1,c2' },
        { command: 'create' },
      ]);
      expect(sys.argumentsOf('close').flat()).toEqual([105, 101, 102, 103, 104, 100]);
      expect(sys.argumentsOf('moveMount')).toEqual([[105, target]]);
    });

    it('falls back to strings where descriptors are refused, by /proc for odd names', async () => {
      const sys = new RecordingSyscalls();
      sys.fail('fsconfig', 'EINVAL', 2);
      await new Mounter({ syscalls: sys, kernel }).mount(plan, target);
      const directories = sys
        .argumentsOf('fsconfig')
        .map(([, config]) => config)
        .slice(2, 6);
      expect(directories).toEqual([
        { command: 'string', key: 'lowerdir+', value: '/layers/b' },
        { command: 'string', key: 'lowerdir+', value: '/proc/self/fd/102' },
        { command: 'string', key: 'upperdir', value: '/layers/upper' },
        { command: 'string', key: 'workdir', value: '/layers/work' },
      ]);
      expect(sys.names).not.toContain('mount');
    });

    it('falls back to mount(2) where the kernel has no fsopen, unless fsopen is forced', async () => {
      const sys = new RecordingSyscalls();
      sys.fail('fsopen', 'ENOSYS');
      await new Mounter({ syscalls: sys, kernel }).mount(plan, target);
      expect(sys.argumentsOf('mount')).toEqual([
        [
          'overlay',
          target,
          'overlay',
          0,
          'lowerdir=/layers/b:/layers/a\\,1,upperdir=/layers/upper,workdir=/layers/work,' + plan.options.join(','),
        ],
      ]);
      const forced = new RecordingSyscalls();
      forced.fail('fsopen', 'ENOSYS');
      await expect(
        new Mounter({ syscalls: forced, kernel, method: 'fsopen' }).mount(plan, join(base, 'other')),
      ).rejects.toThrow(/ENOSYS/);
      expect(forced.names).toEqual(['fsopen']);
    });

    it('falls back to mount(2) where the kernel takes lowerdir+ only to refuse it at the end', async () => {
      const sys = new RecordingSyscalls();
      sys.fail('fsconfig', 'EINVAL', 2);
      sys.fail('fsconfig', 'EINVAL', 10);
      await new Mounter({ syscalls: sys, kernel }).mount(plan, target);
      expect(sys.names.filter((name) => name === 'mount')).toHaveLength(1);
      const opened = sys.names.filter((name) => name === 'openat' || name === 'fsopen').length;
      expect(sys.argumentsOf('close')).toHaveLength(opened);
    });

    it('does not try mount(2) after a refusal that is about the layers', async () => {
      const sys = new RecordingSyscalls({ mountLog: () => 'overlay: maximum fs stacking depth exceeded' });
      sys.fail('fsconfig', 'EINVAL', 9);
      const failing = new Mounter({ syscalls: sys, kernel }).mount(plan, target);
      await expect(failing).rejects.toThrow(/maximum fs stacking depth exceeded \(EINVAL\)/);
      expect(sys.names).not.toContain('mount');
    });

    it('unmounts a bind again that could not be made read-only', async () => {
      const sys = new RecordingSyscalls();
      sys.fail('mount', 'EPERM', 3);
      const mounter = new Mounter({ syscalls: sys, method: 'mount' });
      await expect(mounter.mount({ kind: 'bind', source: '/x', readOnly: true }, target)).rejects.toThrow(/EPERM/);
      expect(sys.names).toEqual(['mount', 'mount', 'mount', 'umount']);
    });

    it('reports a full disk as such', async () => {
      const sys = new RecordingSyscalls();
      sys.fail('fsmount', 'ENOSPC');
      await expect(new Mounter({ syscalls: sys, kernel }).mount(plan, target)).rejects.toThrow(code('ERR_NO_SPACE'));
      expect(existsSync(target)).toBe(false);
    });
  },
);
