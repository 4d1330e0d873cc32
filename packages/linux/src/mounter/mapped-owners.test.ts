import type { IdMaps } from '@layerstore/core';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AT_EMPTY_PATH, MNT_DETACH, MS_PRIVATE } from '../constants.js';
import { kernelTables } from '../kernel-tables.js';
import type { OverlayPlan } from '../mount-plan.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { canMapOwners } from './mapped-owners.js';
import { Mounter } from './mounter.js';
import { openUserNamespace } from './user-namespace.js';

const idMaps: IdMaps = {
  uids: [{ container: 0, host: 100_000, size: 65_536 }],
  gids: [{ container: 0, host: 200_000, size: 65_536 }],
};

describe.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')(
  'lowers with mapped owners (needs root)',
  () => {
    let base: string;
    let target: string;
    let plan: OverlayPlan;
    beforeEach(() => {
      base = mkdtempSync(join(tmpdir(), 'mapped-owners-'));
      target = join(base, 'view');
      for (const name of ['one', 'two', 'upper', 'work']) mkdirSync(join(base, name));
      writeFileSync(join(base, 'one/root'), '');
      writeFileSync(join(base, 'two/user'), '');
      chownSync(join(base, 'two/user'), 33, 44);
      plan = {
        kind: 'overlay',
        lowers: [join(base, 'one'), join(base, 'two')],
        upper: { path: join(base, 'upper'), work: join(base, 'work') },
        options: [],
        idMaps,
      };
    });
    afterEach(() => {
      for (const { mountPoint } of mountsBelow(readMountTable(), base).reverse()) {
        nativeSyscalls().umount(mountPoint, MNT_DETACH);
      }
      rmSync(base, { recursive: true });
    });
    const owner = (path: string): [number, number] => {
      const { uid, gid } = statSync(path);
      return [uid, gid];
    };

    it.each(['fsopen', 'mount'] as const)(
      'are shown by %s, copied up with them, and keep their own on disk',
      async (method) => {
        const mounter = new Mounter({ method });
        await mounter.mount(plan, target);
        expect(owner(join(target, 'root'))).toEqual([100_000, 200_000]);
        expect(owner(join(target, 'user'))).toEqual([100_033, 200_044]);
        writeFileSync(join(target, 'user'), 'copied up');
        // Found again, not mounted twice.
        await mounter.mount(plan, target);
        await mounter.unmount(target);
        expect(owner(join(base, 'upper/user'))).toEqual([100_033, 200_044]);
        expect(owner(join(base, 'two/user'))).toEqual([33, 44]);
      },
    );

    it.each(['fsopen', 'mount'] as const)('are shown by %s without an upper, and found again', async (method) => {
      const mounter = new Mounter({ method });
      const readOnly: OverlayPlan = { kind: 'overlay', lowers: plan.lowers, options: [], idMaps };
      await mounter.mount(readOnly, target);
      await mounter.mount(readOnly, target);
      expect(mountsBelow(readMountTable(), target)).toHaveLength(1);
      expect(owner(join(target, 'user'))).toEqual([100_033, 200_044]);
      await mounter.unmount(target);
    });

    it('are shown by a bind', async () => {
      const mounter = new Mounter();
      await mounter.mount({ kind: 'bind', source: join(base, 'two'), readOnly: true, idMaps }, target);
      expect(owner(join(target, 'user'))).toEqual([100_033, 200_044]);
      expect(() => writeFileSync(join(target, 'new'), '')).toThrow(/EROFS/);
      await mounter.unmount(target);
    });

    it('are refused where ranges overlap, with the ranges, and nothing stays open', async () => {
      const open = readdirSync('/proc/self/fd').length;
      const [range] = idMaps.uids;
      const overlapping = { ...idMaps, uids: [range!, range!] };
      await expect(new Mounter().mount({ ...plan, idMaps: overlapping }, target)).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringContaining('100000') as string,
      });
      expect(existsSync(target)).toBe(false);
      expect(readdirSync('/proc/self/fd')).toHaveLength(open);
    });

    it('are as the namespace maps them, which lives without the process that made it', async () => {
      const sys = nativeSyscalls();
      const namespace = await openUserNamespace(sys, idMaps);
      expect(readdirSync('/proc/self/fd')).toContain(String(namespace));
      sys.close(namespace);
    });

    it('are told apart from file systems that cannot show them', async () => {
      expect(await canMapOwners(base)).toBe(true);
      expect(await canMapOwners('/proc')).toBe(false);
    });

    it('are asked for by a clone of each lower, and all descriptors are closed (recorded calls)', async () => {
      const sys = new RecordingSyscalls();
      await new Mounter({ syscalls: sys, kernel: { ...kernelTables, mounts: () => [] } }).mount(plan, target);
      expect(sys.argumentsOf('openTree')).toEqual(plan.lowers.map((lower) => [lower, 1]));
      const [namespace] = sys.calls.flatMap(({ name, args }) =>
        name === 'openat' && String(args[1]).endsWith('/ns/user') ? [100] : [],
      );
      const attributes = { set: 0, clear: 0, propagation: MS_PRIVATE, userNamespace: namespace };
      expect(sys.argumentsOf('mountSetattr')).toEqual([
        [102, '', AT_EMPTY_PATH, attributes],
        [104, '', AT_EMPTY_PATH, attributes],
      ]);
      expect(sys.argumentsOf('fsconfig').map(([, config]) => config)).toEqual([
        { command: 'string', key: 'source', value: 'overlay' },
        { command: 'fd', key: 'lowerdir+', fd: 103 },
        { command: 'fd', key: 'lowerdir+', fd: 105 },
        { command: 'fd', key: 'upperdir', fd: 106 },
        { command: 'fd', key: 'workdir', fd: 107 },
        { command: 'create' },
      ]);
      expect(sys.argumentsOf('close').flat().sort()).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108]);
    });
  },
);
