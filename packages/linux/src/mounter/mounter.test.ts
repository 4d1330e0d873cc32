import type { StoreError } from '@layerstore/core';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MNT_DETACH, MS_BIND } from '../constants.js';
import type { OverlayPlan } from '../mount-plan.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { Mounter } from './mounter.js';

/** A tmpfs: unmounting an overlay syncs the whole file system that holds its upper. */
const memory = '/dev/shm';

const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;
const methods = ['fsopen', 'mount'] as const;

describe.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')('Mounter on the kernel (needs root)', () => {
  let base: string;
  let target: string;

  beforeEach(() => {
    base = mkdtempSync(join(memory, 'mounter-'));
    target = join(base, 'view');
  });
  afterEach(() => {
    for (const { mountPoint } of mountsBelow(readMountTable(), base).reverse()) {
      nativeSyscalls().umount(mountPoint, MNT_DETACH);
    }
    rmSync(base, { recursive: true });
  });

  /** Layers named and linked as Docker does it: 64 hex digits, and 26 letters in `l`. */
  function overlay(count: number, { writable = true, short = true } = {}): OverlayPlan {
    const lowers: string[] = [];
    const links: string[] = [];
    mkdirSync(join(base, 'l'), { recursive: true });
    for (let index = 0; index < count; index++) {
      const id = String(index).padStart(64, '0');
      const link = String(index).padStart(26, 'L');
      mkdirSync(join(base, id, 'diff'), { recursive: true });
      writeFileSync(join(base, id, 'diff', `from-${index}`), '');
      writeFileSync(join(base, id, 'diff/same'), `layer ${index}`);
      if (!existsSync(join(base, 'l', link))) symlinkSync(`../${id}/diff`, join(base, 'l', link));
      lowers.push(join(base, id, 'diff'));
      links.push(link);
    }
    const upper = { path: join(base, 'upper'), work: join(base, 'work') };
    for (const directory of Object.values(upper)) mkdirSync(directory, { recursive: true });
    return {
      kind: 'overlay',
      lowers,
      ...(writable ? { upper } : {}),
      options: ['index=off', 'redirect_dir=off'],
      ...(short ? { short: { base: join(base, 'l'), lowers: links } } : {}),
    };
  }

  describe.each(methods)('by %s', (method) => {
    const mounter = new Mounter({ method });

    it.each([2, 60, 128])('shows %i layers with the uppermost first, and takes the view away again', async (count) => {
      const plan = overlay(count);
      expect(await mounter.mount(plan, target)).toBe(target);
      expect(mounter.isMounted(target)).toBe(true);
      expect(readdirSync(target)).toHaveLength(count + 1);
      expect(readFileSync(join(target, 'same'), 'utf8')).toBe('layer 0');
      writeFileSync(join(target, 'new'), 'x');
      rmSync(join(target, 'from-1'));
      await mounter.unmount(target);
      expect(mounter.isMounted(target)).toBe(false);
      expect(existsSync(target)).toBe(false);
      expect(readdirSync(join(base, 'upper')).sort()).toEqual(['from-1', 'new']);
    });

    it('shows layers without an upper read-only', async () => {
      await mounter.mount(overlay(3, { writable: false }), target);
      expect(() => writeFileSync(join(target, 'new'), '')).toThrow(/EROFS/);
      await mounter.unmount(target);
    });

    it('takes layers whose names hold separators of the option text', async () => {
      const odd = join(base, 'a,b:c\\d e"\u00e9');
      const [one, two, upper, work] = ['one', 'two', 'upper', 'work'].map((name) => join(odd, name));
      for (const path of [one, two, upper, work]) mkdirSync(path!, { recursive: true });
      writeFileSync(join(two!, 'file'), 'below');
      const plan: OverlayPlan = {
        kind: 'overlay',
        lowers: [one!, two!],
        upper: { path: upper!, work: work! },
        options: [],
      };
      await mounter.mount(plan, target);
      writeFileSync(join(target, 'new'), '');
      expect(readFileSync(join(target, 'file'), 'utf8')).toBe('below');
      // Taken over, not mounted twice.
      await mounter.mount(plan, target);
      await mounter.unmount(target);
      expect(readdirSync(upper!)).toEqual(['new']);
    });

    it('binds a directory, writable or not, and keeps mounts in it from the source', async () => {
      mkdirSync(join(base, 'source/inner'), { recursive: true });
      await mounter.mount({ kind: 'bind', source: join(base, 'source'), readOnly: false }, target);
      writeFileSync(join(target, 'file'), 'x');
      expect(readMountTable().find((entry) => entry.mountPoint === target)?.propagation).toEqual([]);
      await mounter.unmount(target);
      await mounter.mount({ kind: 'bind', source: join(base, 'source'), readOnly: true }, target);
      expect(readFileSync(join(target, 'file'), 'utf8')).toBe('x');
      expect(() => writeFileSync(join(target, 'file'), 'y')).toThrow(/EROFS/);
      await mounter.unmount(target);
    });

    it('fails with the reason, and leaves no mount point that it made', async () => {
      const plan = overlay(2, { short: false });
      const missing = { ...plan, lowers: [join(base, 'absent'), ...plan.lowers] };
      await expect(mounter.mount(missing, target)).rejects.toThrow(code('ERR_MOUNT_FAILED'));
      expect(existsSync(target)).toBe(false);
      const unknown = { ...plan, options: ['no_such_option=1'] };
      await expect(mounter.mount(unknown, target)).rejects.toThrow(/EINVAL/);
      mkdirSync(target);
      await expect(mounter.mount(unknown, target)).rejects.toThrow(code('ERR_MOUNT_FAILED'));
      expect(existsSync(target)).toBe(true);
    });

    it('takes over a mount of the same plan, and refuses another', async () => {
      const writable = overlay(2);
      await mounter.mount(writable, target);
      await new Mounter().mount(writable, target);
      const others = join(base, 'others');
      mkdirSync(others);
      await expect(mounter.mount({ ...writable, upper: { path: others, work: others } }, target)).rejects.toThrow(
        code('ERR_BUSY'),
      );
      await expect(mounter.mount({ kind: 'bind', source: base, readOnly: true }, target)).rejects.toThrow(
        /umount|overlay/,
      );
      expect(mountsBelow(readMountTable(), target)).toHaveLength(1);
      await mounter.unmount(target);

      const readOnly = overlay(2, { writable: false });
      await mounter.mount(readOnly, target);
      await mounter.mount(readOnly, target);
      const turned = { ...readOnly, lowers: [...readOnly.lowers].reverse() };
      await expect(mounter.mount(turned, target)).rejects.toThrow(code('ERR_BUSY'));
      await mounter.unmount(target);
    });
  });

  it('quotes the kernel when it says more than a number', async () => {
    const plan = overlay(501, { writable: false });
    await expect(new Mounter().mount(plan, target)).rejects.toThrow(
      /too many lower directories, limit is 500 \(EINVAL\)/,
    );
  });

  it('says how many bytes there are when the options do not fit into a page', async () => {
    const plan = overlay(60, { short: false });
    await expect(new Mounter({ method: 'mount' }).mount(plan, target)).rejects.toThrow(
      /\d{4} bytes, mount\(2\) passes on 4095/,
    );
  });

  it('shows a directory plan where it is, and mounts nothing', async () => {
    const mounter = new Mounter();
    expect(await mounter.mount({ kind: 'directory', path: base }, target)).toBe(base);
    await mounter.unmount(target);
    expect(existsSync(target)).toBe(false);
  });

  it('makes the mount point private to root, and refuses one that is no directory', async () => {
    const mounter = new Mounter();
    await mounter.mount(overlay(2), target);
    await mounter.unmount(target);
    symlinkSync('/etc', target);
    await expect(mounter.mount(overlay(0), target)).rejects.toThrow(code('ERR_MOUNT_FAILED'));
    await expect(mounter.mount(overlay(0), join(base, 'no/view'))).rejects.toThrow(/does not exist/);
  });

  it('leaves alone what is not mounted, and directories that are not empty', async () => {
    const mounter = new Mounter();
    mkdirSync(target);
    await mounter.unmount(target);
    await mounter.unmount(join(base, 'no/such'));
    expect(existsSync(target)).toBe(true);
    writeFileSync(join(target, 'covered'), '');
    await mounter.mount(overlay(2), target);
    expect(existsSync(join(target, 'covered'))).toBe(false);
    await mounter.unmount(target);
    expect(readdirSync(target)).toEqual(['covered']);
  });

  it('takes stacked mounts away from the top down', async () => {
    const mounter = new Mounter();
    await mounter.mount(overlay(2), target);
    nativeSyscalls().mount(join(base, 'l'), target, '', MS_BIND, '');
    nativeSyscalls().mount(join(base, 'work'), target, '', MS_BIND, '');
    await mounter.unmount(target);
    expect(mountsBelow(readMountTable(), base)).toEqual([]);
    expect(existsSync(target)).toBe(false);
  });

  it('finds the mount through a symlink above it', async () => {
    const mounter = new Mounter();
    symlinkSync(base, `${base}-link`);
    try {
      await mounter.mount(overlay(2), join(`${base}-link`, 'view'));
      expect(mounter.isMounted(target)).toBe(true);
      await mounter.unmount(join(`${base}-link`, 'view'));
      expect(mounter.isMounted(target)).toBe(false);
    } finally {
      rmSync(`${base}-link`);
    }
  });

  it('names the processes that use a view', async () => {
    const mounter = new Mounter();
    await mounter.mount(overlay(2), target);
    const users = [
      spawn('sleep', ['60'], { cwd: target, stdio: 'ignore' }),
      spawn('sh', ['-c', 'exec 3< same; cd /; sleep 60 & wait'], { cwd: target, stdio: 'ignore' }),
    ];
    await Promise.all(users.map((user) => once(user, 'spawn')));
    while (!existsSync(`/proc/${users[1]!.pid}/fd/3`)) await new Promise((resolve) => setTimeout(resolve, 5));
    const failure = mounter.unmount(target);
    await expect(failure).rejects.toThrow(code('ERR_BUSY'));
    await expect(failure).rejects.toThrow(`sleep (pid ${users[0]!.pid}, working directory)`);
    await expect(failure).rejects.toThrow(`sh (pid ${users[1]!.pid}, open file)`);
    expect(mounter.isMounted(target)).toBe(true);
    // The shell's own child holds the file as well.
    const children = readFileSync(`/proc/${users[1]!.pid}/task/${users[1]!.pid}/children`, 'utf8').trim().split(' ');
    for (const child of children) process.kill(Number(child), 'SIGKILL');
    for (const user of users) user.kill('SIGKILL');
    await mounter.unmount(target);
    expect(mounter.isMounted(target)).toBe(false);
  });

  it('waits for a user that is about to end', async () => {
    const mounter = new Mounter();
    await mounter.mount(overlay(2), target);
    const user = spawn('sleep', ['0.1'], { cwd: target, stdio: 'ignore' });
    await once(user, 'spawn');
    await mounter.unmount(target);
    expect(existsSync(target)).toBe(false);
  });

  it('names mounts that others made inside a view', async () => {
    const mounter = new Mounter();
    await mounter.mount(overlay(2), target);
    mkdirSync(join(target, 'inner'));
    nativeSyscalls().mount(join(base, 'l'), join(target, 'inner'), '', MS_BIND, '');
    await expect(mounter.unmount(target)).rejects.toThrow(`other mounts lie inside the view: ${target}/inner`);
  });

  it('unmounts after use, also when the use failed', async () => {
    const mounter = new Mounter();
    const plan = overlay(2);
    expect(await mounter.withMount(plan, target, (path) => Promise.resolve(readdirSync(path).length))).toBe(3);
    const failing = mounter.withMount(plan, target, () => Promise.reject(new Error('use failed')));
    await expect(failing).rejects.toThrow('use failed');
    expect(mounter.isMounted(target)).toBe(false);
    const holding = mounter.withMount(plan, target, (path) => {
      mkdirSync(join(path, 'inner'));
      nativeSyscalls().mount(join(base, 'l'), join(path, 'inner'), '', MS_BIND, '');
      return Promise.reject(new Error('use failed'));
    });
    await expect(holding).rejects.toThrow(/use failed; besides, the view stays mounted: .*inner/);
  });

  it('makes directories that only root may enter', async () => {
    const umasked = join(base, 'made');
    const mounter = new Mounter({ syscalls: new RecordingSyscalls() });
    await mounter.mount(overlay(2), umasked);
    expect(statSync(umasked).mode & 0o777).toBe(0o700);
  });
});
