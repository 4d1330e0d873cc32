import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MNT_DETACH, MS_REMOUNT, UMOUNT_NOFOLLOW } from '../constants.js';
import type { AufsPlan } from '../mount-plan.js';
import { supportsDirperm1 } from './aufs-dirperm1.js';
import { Mounter } from './mounter.js';
import { RecordedAufs } from './testing/recorded-aufs.js';

const home = '/var/lib/docker/aufs/diff';
const label = 'system_u:object_r:svirt_sandbox_file_t:s0:c12,c34';

/** 64 hex digits, as Docker names layers. */
const layer = (number: number): string => `${home}/${number.toString(16).padStart(64, '0')}`;

/** A container: its own layer, its `-init` layer, and the image's. */
function container(branches: number, options: readonly string[] = ['dirperm1']): AufsPlan {
  const image = Array.from({ length: branches - 2 }, (_, number) => layer(number + 1));
  return {
    kind: 'aufs',
    branches: [layer(0), `${layer(0)}-init`, ...image].slice(0, branches),
    writable: true,
    options,
  };
}

/** The text of the first call, written down anew from moby's aufs.go and the calls traced from dockerd 20.10. */
function firstText(plan: AufsPlan, count: number, ...options: readonly string[]): string {
  const [top, ...rest] = plan.branches.slice(0, count);
  return `br:${top}=rw${rest.map((path) => `:${path}=ro+wh`).join('')},dio,xino=/dev/shm/aufs.xino${options.join('')}`;
}

function appendText(plan: AufsPlan, from: number, to: number): string {
  return plan.branches
    .slice(from, to)
    .map((path) => `append:${path}=ro+wh,`)
    .join('');
}

describe('an aufs mount, on recorded calls (no kernel here has aufs)', () => {
  let base: string;
  let target: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'aufs-mount-'));
    target = join(base, 'view');
  });
  afterEach(() => rmSync(base, { recursive: true }));

  const mount = async (kernel: RecordedAufs, plan: AufsPlan): Promise<void> => {
    await new Mounter({ syscalls: kernel.sys, kernel }).mount(plan, target);
  };

  it.each([1, 40, 41])('of %i branches is one call', async (count) => {
    const kernel = new RecordedAufs();
    const plan = container(count);
    await mount(kernel, plan);
    expect(kernel.sys.calls).toEqual([
      { name: 'statxIfPresent', args: [-100, '/dev/shm', 0] },
      { name: 'mount', args: ['none', target, 'aufs', 0, firstText(plan, count, ',dirperm1')] },
    ]);
  });

  it('of 41 Docker layers takes 4,018 bytes, as traced; a 42nd goes into a remount', async () => {
    const kernel = new RecordedAufs();
    await mount(kernel, container(42));
    expect(kernel.mountCalls.map(({ flags, data }) => [flags, data.length])).toEqual([
      [0, 4018],
      [MS_REMOUNT, 'append:=ro+wh,'.length + layer(0).length],
    ]);
  });

  it('of 71 branches is the two calls that were traced from dockerd: 41 branches, then 30 in 3,120 bytes', async () => {
    const kernel = new RecordedAufs();
    const plan = container(71);
    await mount(kernel, plan);
    expect(kernel.mountCalls).toEqual([
      { flags: 0, data: firstText(plan, 41, ',dirperm1') },
      { flags: MS_REMOUNT, data: appendText(plan, 41, 71) },
    ]);
    expect(kernel.mountCalls[1]?.data).toHaveLength(3120);
  });

  it.each([
    [80, [41, 79, 80]],
    [127, [41, 79, 117, 127]],
  ])('of %i branches appends as many as fit into a page with each remount', async (count, ends) => {
    const kernel = new RecordedAufs();
    const plan = container(count);
    await mount(kernel, plan);
    const appends = ends.slice(1).map((end, index) => appendText(plan, ends[index] ?? 0, end));
    expect(kernel.mountCalls).toEqual([
      { flags: 0, data: firstText(plan, 41, ',dirperm1') },
      ...appends.map((data) => ({ flags: MS_REMOUNT, data })),
    ]);
    expect(kernel.sys.names).toEqual(['statxIfPresent', 'mount', ...appends.map(() => 'mount')]);
  });

  const forms = [
    { options: [], tail: '', remountTail: '' },
    { options: ['dirperm1'], tail: ',dirperm1', remountTail: '' },
    { options: [`context="${label}"`], tail: `,context="${label}"`, remountTail: `,context="${label}"` },
    {
      options: [`context="${label}"`, 'dirperm1'],
      tail: `,dirperm1,context="${label}"`,
      remountTail: `,context="${label}"`,
    },
  ];
  it.each([1, 40, 41, 80, 127])(
    'of %i branches names each once and in order, with and without dirperm1 and label',
    async (count) => {
      for (const { options, tail, remountTail } of forms) {
        const kernel = new RecordedAufs('labels');
        const plan = container(count, options);
        await mount(kernel, plan);
        const [first, ...others] = kernel.mountCalls.map(({ data }) => data);
        expect(first?.endsWith(`=${count === 1 ? 'rw' : 'ro+wh'},dio,xino=/dev/shm/aufs.xino${tail}`)).toBe(true);
        for (const data of others) expect(data.endsWith(`=ro+wh,${remountTail}`)).toBe(true);
        for (const { data } of kernel.mountCalls) expect(Buffer.byteLength(data)).toBeLessThanOrEqual(4095);
        const named = kernel.mountCalls.flatMap(({ data }) => data.match(/\/[/\w-]+(?==(?:rw|ro\+wh))/g) ?? []);
        expect(named).toEqual(plan.branches);
      }
    },
  );

  it('leaves the label out where the kernel has no SELinux', async () => {
    const kernel = new RecordedAufs('no labels');
    const plan = container(41, ['dirperm1', `context="${label}"`]);
    await mount(kernel, plan);
    expect(kernel.mountCalls.map(({ data }) => data)).toEqual([firstText(plan, 41, ',dirperm1')]);
  });

  it('gives no call more than 80 branches and options, however short the names: aufs panics not far above', async () => {
    const branches = Array.from({ length: 127 }, (_, number) => `/a/${number}`);
    for (const options of [['dirperm1'], ['dirperm1', `context="${label}"`]]) {
      const kernel = new RecordedAufs('labels');
      await mount(kernel, { kind: 'aufs', branches, writable: true, options });
      const named = /=(?:rw|ro\+wh)|(?<=,)(?:dio|xino=|dirperm1|context=)/g;
      const counts = kernel.mountCalls.map(({ data }) => data.match(named)?.length ?? 0);
      expect(counts).toEqual(options.length === 1 ? [80, 50] : [80, 52]);
      expect(kernel.aufsBranches({ ...kernel.mounts()[0]!, mountPoint: target })).toHaveLength(127);
      rmSync(target, { recursive: true });
    }
  });

  it('without writes gives every branch read-only', async () => {
    const kernel = new RecordedAufs();
    await mount(kernel, { kind: 'aufs', branches: ['/a/1', '/a/2'], writable: false, options: [] });
    expect(kernel.mountCalls[0]?.data).toBe('br:/a/1=ro+wh:/a/2=ro+wh,dio,xino=/dev/shm/aufs.xino');
  });

  it('refuses 128 branches with the numbers, and calls nobody', async () => {
    const kernel = new RecordedAufs();
    await expect(mount(kernel, container(128))).rejects.toMatchObject({
      code: 'ERR_MAX_DEPTH',
      message: expect.stringMatching(/128 branches.*127/) as string,
    });
    expect(kernel.sys.calls).toEqual([]);
    expect(existsSync(target)).toBe(false);
  });

  it.each(['/a:b/x', '/a,b/x', '/a=b/x'])(
    'refuses the branch %s, which cannot be written in the options',
    async (path) => {
      const kernel = new RecordedAufs();
      const failing = mount(kernel, { kind: 'aufs', branches: ['/a/1', path], writable: true, options: [] });
      await expect(failing).rejects.toMatchObject({ code: 'ERR_MOUNT_FAILED', subject: path });
      expect(kernel.sys.calls).toEqual([]);
    },
  );

  it.each([0, 1])(
    'refuses a branch that is longer than a page, as number %i, instead of trying for ever',
    async (index) => {
      const kernel = new RecordedAufs();
      const branches = ['/a/1', '/a/2'];
      branches[index] = `/${'x'.repeat(4096)}`;
      const failing = mount(kernel, { kind: 'aufs', branches, writable: true, options: [] });
      await expect(failing).rejects.toMatchObject({ code: 'ERR_MOUNT_FAILED', subject: branches[index] });
      expect(kernel.sys.calls).toEqual([]);
    },
  );

  it('says what is missing when there is no /dev/shm', async () => {
    const kernel = new RecordedAufs('no labels', { statxIfPresent: () => undefined });
    await expect(mount(kernel, container(2))).rejects.toMatchObject({
      code: 'ERR_MISSING_PREREQUISITE',
      subject: '/dev/shm',
    });
    expect(kernel.sys.names).toEqual(['statxIfPresent']);
  });

  it('unmounts what it has begun when an append fails', async () => {
    const kernel = new RecordedAufs();
    kernel.sys.fail('mount', 'EINVAL', 3);
    await expect(mount(kernel, container(127))).rejects.toMatchObject({ code: 'ERR_MOUNT_FAILED' });
    expect(kernel.sys.names).toEqual(['statxIfPresent', 'mount', 'mount', 'mount', 'umount']);
    expect(kernel.sys.argumentsOf('umount')).toEqual([[target, MNT_DETACH]]);
    expect(existsSync(target)).toBe(false);
  });

  it('unmounts a view that lacks branches: aufs reports no error for what was cut off', async () => {
    const kernel = new RecordedAufs();
    const branches = kernel.aufsBranches.bind(kernel);
    kernel.aufsBranches = (entry) => branches(entry)?.slice(0, 50);
    await expect(mount(kernel, container(80))).rejects.toThrow(/50 branches of 80/);
    expect(kernel.sys.names.at(-1)).toBe('umount');
  });

  it('tries again while another mount holds the name of the file of inode numbers', async () => {
    const kernel = new RecordedAufs();
    kernel.sys.fail('mount', 'EEXIST', 1);
    kernel.sys.fail('mount', 'EEXIST', 2);
    await mount(kernel, container(2));
    expect(kernel.sys.names).toEqual(['statxIfPresent', 'mount', 'mount', 'mount']);
  });

  it('waits for the mount before it, all calls of which come first', async () => {
    const kernel = new RecordedAufs();
    kernel.sys.fail('mount', 'EEXIST', 1);
    const mounter = new Mounter({ syscalls: kernel.sys, kernel });
    const other = join(base, 'other');
    await Promise.all([mounter.mount(container(50), target), mounter.mount(container(50), other)]);
    expect(kernel.sys.argumentsOf('mount').map(([, point]) => point)).toEqual([target, target, target, other, other]);
  });

  it('takes over a mount of the same branches, and refuses one of others', async () => {
    const kernel = new RecordedAufs();
    await mount(kernel, container(50));
    const before = kernel.sys.calls.length;
    await mount(kernel, container(50));
    expect(kernel.sys.calls).toHaveLength(before);
    await expect(mount(kernel, container(49))).rejects.toMatchObject({ code: 'ERR_BUSY' });
  });

  it('is unmounted without force, and its mount point goes', async () => {
    const kernel = new RecordedAufs();
    await mount(kernel, container(3));
    await new Mounter({ syscalls: kernel.sys, kernel }).unmount(target);
    expect(kernel.sys.argumentsOf('umount')).toEqual([[target, UMOUNT_NOFOLLOW]]);
    expect(existsSync(target)).toBe(false);
  });

  it('asks once whether aufs knows dirperm1, by a mount that it takes away, and leaves nothing', async () => {
    const kernel = new RecordedAufs();
    expect(await Promise.all([supportsDirperm1(base, kernel.sys), supportsDirperm1(base, kernel.sys)])).toEqual([
      true,
      true,
    ]);
    expect(kernel.sys.names).toEqual(['mount', 'umount']);
    const [source, union, type, flags, data] = kernel.sys.argumentsOf('mount')[0] ?? [];
    expect([source, type, flags]).toEqual(['none', 'aufs', 0]);
    expect(data).toMatch(new RegExp(`^br:${base}/aufs-base-\\w+,dirperm1,xino=/dev/shm/aufs\\.xino$`));
    expect(kernel.sys.argumentsOf('umount')).toEqual([[union, MNT_DETACH]]);
    expect(readdirSync(base)).toEqual([]);
  });

  it('goes without dirperm1 where aufs refuses it', async () => {
    const kernel = new RecordedAufs();
    kernel.sys.fail('mount', 'EINVAL');
    expect(await supportsDirperm1(base, kernel.sys)).toBe(false);
    expect(kernel.sys.names).toEqual(['mount']);
    expect(readdirSync(base)).toEqual([]);
  });
});
