import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MNT_DETACH } from '../constants.js';
import type { OverlayPlan } from '../mount-plan.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { findFuseServer, fuseOptionText, hasEnded, hasFuseOverlayfs, upperOf } from './fuse-overlayfs.js';
import { Mounter } from './mounter.js';

const plain: OverlayPlan = { kind: 'overlay', lowers: ['/a', '/b'], options: [] };

describe('the options of fuse-overlayfs', () => {
  it('hold the directories, and of the kernel options those that the program knows', () => {
    const plan: OverlayPlan = {
      ...plain,
      upper: { path: '/u', work: '/w' },
      options: ['index=off', 'redirect_dir=off', 'metacopy=off', 'context="a:b:c:s0:c1,c2"'],
    };
    expect(fuseOptionText(plan)).toBe(
      'lowerdir=/a:/b,upperdir=/u,workdir=/w,redirect_dir=off,context="a:b:c:s0:c1\\,c2"',
    );
  });

  it('escape what libfuse would end a path at, and name the upper in the end', () => {
    const upper = { path: '/u,1\\2', work: '/w,3' };
    const options = fuseOptionText({ ...plain, lowers: ['/a,x'], upper });
    expect(options).toBe('lowerdir=/a\\,x,upperdir=/u\\,1\\\\2,workdir=/w\\,3');
    expect(upperOf({ pid: 1, options })).toEqual(upper);
    expect(upperOf({ pid: 1, options: 'lowerdir=/a' })).toBeUndefined();
  });

  it('cannot express a colon in a path, nor mapped owners', () => {
    expect(() => fuseOptionText({ ...plain, lowers: ['/a:b'] })).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_SUPPORTED' }),
    );
    expect(() => fuseOptionText({ ...plain, idMaps: { uids: [], gids: [] } })).toThrow(/mapped owners/);
  });
});

describe.skipIf(process.getuid?.() !== 0 || !hasFuseOverlayfs())('fuse-overlayfs (needs root and the program)', () => {
  let base: string;
  let target: string;
  let plan: OverlayPlan;
  const mounter = new Mounter({ method: 'fuse-overlayfs' });

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'fuse-overlayfs-'));
    target = join(base, 'view');
    for (const name of ['one/gone', 'two/merged', 'upper', 'work']) mkdirSync(join(base, name), { recursive: true });
    writeFileSync(join(base, 'one/file'), 'one');
    writeFileSync(join(base, 'two/file'), 'two');
    writeFileSync(join(base, 'two/merged/kept'), 'kept');
    plan = {
      kind: 'overlay',
      lowers: [join(base, 'one'), join(base, 'two')],
      upper: { path: join(base, 'upper'), work: join(base, 'work') },
      options: ['index=off', 'redirect_dir=off'],
    };
  });
  afterEach(() => {
    for (const { mountPoint } of mountsBelow(readMountTable(), base).reverse()) {
      nativeSyscalls().umount(mountPoint, MNT_DETACH);
    }
    rmSync(base, { recursive: true });
  });

  /** What fuse-overlayfs marks in its own way: new and replaced directories, and files it copied up. */
  const edit = (): void => {
    mkdirSync(join(target, 'new'));
    writeFileSync(join(target, 'new/inside'), '');
    rmSync(join(target, 'merged'), { recursive: true });
    mkdirSync(join(target, 'merged'));
    writeFileSync(join(target, 'file'), 'changed');
    rmSync(join(target, 'gone'), { recursive: true });
  };
  const names = (directory: string): string[] => readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  const attributes = (path: string): string[] => nativeSyscalls().listXattrs(path).map(String);
  /** Returns when the process is gone. */
  const kill = async (): Promise<void> => {
    const server = findFuseServer(target)!;
    process.kill(server.pid, 'SIGKILL');
    expect(await hasEnded(server)).toBe(true);
  };
  const seen = ['file', 'gone', 'merged', 'new', 'new/inside'];

  it('shows the layers with the uppermost first, takes writes, and is gone with its process after the unmount', async () => {
    expect(await mounter.mount(plan, target)).toBe(target);
    expect(mounter.mountOn(target)?.type).toBe('fuse.fuse-overlayfs');
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('one');
    writeFileSync(join(target, 'new'), 'x');
    const server = findFuseServer(target);
    expect(server?.options).toBe(fuseOptionText(plan));
    await mounter.unmount(target);
    expect(findFuseServer(target)).toBeUndefined();
    expect(existsSync(target)).toBe(false);
    expect(names(join(base, 'upper'))).toEqual(['new']);
  });

  it('takes no writes without an upper', async () => {
    await mounter.mount({ kind: 'overlay', lowers: plan.lowers, options: plan.options }, target);
    expect(() => writeFileSync(join(target, 'new'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }));
    await mounter.unmount(target);
  });

  it('leaves an upper that a kernel overlay shows just as it was', async () => {
    await mounter.mount(plan, target);
    edit();
    expect(names(join(base, 'upper'))).toContain('new/.wh..wh..opq');
    await mounter.unmount(target);
    expect(names(join(base, 'upper'))).toEqual(seen);
    expect(attributes(join(base, 'upper/file'))).toEqual([]);
    expect(attributes(join(base, 'upper/merged'))).toEqual(['trusted.overlay.opaque']);
    expect(readdirSync(join(base, 'work'))).toEqual(['work']);
    await new Mounter({ method: 'fsopen' }).mount(plan, target);
    expect(names(target)).toEqual(['file', 'merged', 'new', 'new/inside']);
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('changed');
    await mounter.unmount(target);
  });

  it('that was killed is found dead: its view is mounted again, by the kernel after the upper is cleaned', async () => {
    await mounter.mount(plan, target);
    edit();
    await kill();
    const kernel = new Mounter({ method: 'fsopen' });
    await kernel.mount(plan, target);
    expect(kernel.mountOn(target)?.type).toBe('overlay');
    expect(mountsBelow(readMountTable(), target)).toHaveLength(1);
    expect(names(target)).toEqual(['file', 'merged', 'new', 'new/inside']);
    await kernel.unmount(target);
    expect(names(join(base, 'upper'))).toEqual(seen);
  });

  it('that was killed leaves an upper that can be cleaned without mounting it', async () => {
    await mounter.mount(plan, target);
    edit();
    await kill();
    await mounter.unmount(target);
    expect(names(join(base, 'upper'))).toContain('new/.wh..wh..opq');
    await mounter.tidy(plan);
    await mounter.tidy(plan);
    expect(names(join(base, 'upper'))).toEqual(seen);
  });

  it('leaves an upper whose interrupted cleaning the next mount completes', async () => {
    await mounter.mount(plan, target);
    edit();
    const sys = new RecordingSyscalls(nativeSyscalls());
    sys.fail('unlinkat', 'EIO', 2);
    await expect(new Mounter({ syscalls: sys }).unmount(target)).rejects.toMatchObject({ code: 'ERR_IO' });
    expect(mounter.isMounted(target)).toBe(false);
    expect(names(join(base, 'upper')).filter((name) => name.includes('.wh.'))).not.toEqual([]);
    await new Mounter({ method: 'fsopen' }).mount(plan, target);
    expect(names(target)).toEqual(['file', 'merged', 'new', 'new/inside']);
    await mounter.unmount(target);
    expect(names(join(base, 'upper'))).toEqual(seen);
  });

  it('is taken over when it shows the same layers, and refused when it shows others', async () => {
    await mounter.mount(plan, target);
    await new Mounter().mount(plan, target);
    expect(mountsBelow(readMountTable(), target)).toHaveLength(1);
    await expect(mounter.mount({ ...plan, lowers: [join(base, 'two')] }, target)).rejects.toMatchObject({
      code: 'ERR_BUSY',
    });
    // Its layer has had a child since: what was the upper is a lower now.
    const since: OverlayPlan = {
      kind: 'overlay',
      lowers: [join(base, 'upper'), ...plan.lowers],
      options: plan.options,
    };
    await mounter.mount(since, target, 'also-writable');
    await expect(mounter.mount(since, target)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    await mounter.unmount(target);
  });

  it('names what is missing in the words of the program', async () => {
    const missing = { ...plan, lowers: [join(base, 'absent')] };
    await expect(mounter.mount(missing, target)).rejects.toMatchObject({
      code: 'ERR_MOUNT_FAILED',
      message: expect.stringMatching(/fuse-overlayfs: cannot resolve path .*absent/) as string,
    });
    expect(existsSync(target)).toBe(false);
    expect(readdirSync(join(base, 'work'))).not.toContain('layerstore-fuse-overlayfs');
  });

  it('is what a plan says, whatever the method, and the last resort of a kernel without overlay', async () => {
    await new Mounter({ method: 'fsopen' }).mount({ ...plan, program: 'fuse-overlayfs' }, target);
    expect(mounter.mountOn(target)?.type).toBe('fuse.fuse-overlayfs');
    await mounter.unmount(target);
    const sys = new RecordingSyscalls(nativeSyscalls());
    sys.fail('fsopen', 'ENODEV');
    await new Mounter({ syscalls: sys }).mount(plan, target);
    expect(mounter.mountOn(target)?.type).toBe('fuse.fuse-overlayfs');
    await mounter.unmount(target);
    for (const method of ['fsopen', 'mount'] as const) {
      const refusing = new RecordingSyscalls(nativeSyscalls());
      refusing.fail(method === 'fsopen' ? 'fsopen' : 'mount', 'ENODEV');
      await expect(new Mounter({ syscalls: refusing, method }).mount(plan, target)).rejects.toThrow(/ENODEV/);
    }
  });

  it('shows 128 layers with long names', async () => {
    const lowers = Array.from({ length: 128 }, (_, number) => join(base, 'layers', String(number).padStart(64, '0')));
    for (const [number, lower] of lowers.entries()) {
      mkdirSync(lower, { recursive: true });
      writeFileSync(join(lower, `from-${number}`), '');
    }
    await mounter.mount({ kind: 'overlay', lowers, options: [] }, target);
    expect(readdirSync(target)).toHaveLength(128);
    await mounter.unmount(target);
  });

  it('keeps nothing of this process open', async () => {
    await mounter.mount(plan, target);
    const open = execFileSync('ls', ['-l', `/proc/${findFuseServer(target)!.pid}/fd`], { encoding: 'utf8' });
    expect(open).not.toContain(String(process.pid));
    expect(open).toMatch(/ 2 -> \/dev\/null/);
    await mounter.unmount(target);
  });
});
