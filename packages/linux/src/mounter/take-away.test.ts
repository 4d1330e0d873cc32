import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MNT_DETACH, MS_BIND } from '../constants.js';
import type { OverlayPlan } from '../mount-plan.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { Mounter } from './mounter.js';

describe.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')('taking views away (needs root)', () => {
  let base: string;
  let target: string;
  let plan: OverlayPlan;
  const users: ChildProcess[] = [];
  const mounter = new Mounter();

  beforeEach(() => {
    base = mkdtempSync('/dev/shm/take-away-');
    target = join(base, 'view');
    for (const name of ['one', 'two', 'upper', 'work']) mkdirSync(join(base, name));
    writeFileSync(join(base, 'one/file'), 'one');
    plan = {
      kind: 'overlay',
      lowers: [join(base, 'one'), join(base, 'two')],
      upper: { path: join(base, 'upper'), work: join(base, 'work') },
      options: [],
    };
  });
  afterEach(async () => {
    for (const user of users.splice(0)) {
      const ended = user.exitCode !== null || user.signalCode !== null ? undefined : once(user, 'exit');
      user.kill('SIGKILL');
      await ended;
    }
    for (const { mountPoint } of mountsBelow(readMountTable(), base).reverse()) {
      nativeSyscalls().umount(mountPoint, MNT_DETACH);
    }
    rmSync(base, { recursive: true });
  });

  /** A shell that has said that it is where it shall be. */
  const start = async (program: string, args: readonly string[], cwd = '/'): Promise<ChildProcess> => {
    const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
    users.push(child);
    await once(child.stdout, 'data');
    return child;
  };
  const elsewhere = (child: ChildProcess): string[] =>
    readMountTable(`/proc/${child.pid}/mountinfo`)
      .map((entry) => entry.mountPoint)
      .filter((point) => point === target);

  it('takes them from other mount namespaces as well, where they would keep the upper busy', async () => {
    await mounter.mount(plan, target);
    const other = await start('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo; read line']);
    expect(elsewhere(other)).toEqual([target]);
    await mounter.unmount(target);
    expect(elsewhere(other)).toEqual([]);
    expect(existsSync(target)).toBe(false);
  });

  it('reports a view in use with its mounts and processes, and with force detaches it from all namespaces', async () => {
    await mounter.mount(plan, target);
    mkdirSync(join(target, 'inner'));
    nativeSyscalls().mount(join(base, 'two'), join(target, 'inner'), '', MS_BIND, '');
    const user = await start('sh', ['-c', 'exec 3< file; echo; read line; cat <&3; echo; read line'], target);
    const other = await start('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo; read line']);
    await expect(mounter.unmount(target)).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringMatching(
        new RegExp(`${target}/inner.*sh \\(pid ${user.pid}, working directory\\)`),
      ) as string,
    });
    await mounter.detach(target);
    expect(mountsBelow(readMountTable(), base)).toEqual([]);
    expect(elsewhere(other)).toEqual([]);
    expect(existsSync(target)).toBe(false);
    // Nothing was deleted from the layer, and whoever had a file open reads on.
    expect(readdirSync(join(base, 'upper'))).toEqual(['inner']);
    user.stdin!.write('\n');
    const [text] = (await once(user.stdout!, 'data')) as [Buffer];
    expect(text.toString()).toContain('one');
  });

  it('unstacks mounts that lie on one another before it takes one over', async () => {
    await mounter.mount(plan, target);
    for (let again = 0; again < 2; again++) nativeSyscalls().mount(target, target, '', MS_BIND, '');
    expect(mountsBelow(readMountTable(), target)).toHaveLength(3);
    await mounter.mount(plan, target);
    expect(mountsBelow(readMountTable(), target)).toHaveLength(1);
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('one');
    await mounter.unmount(target);
  });

  it('takes over the uppermost of stacked mounts when somebody uses it, if it shows the same', async () => {
    await mounter.mount(plan, target);
    nativeSyscalls().mount(target, target, '', MS_BIND, '');
    const user = await start('sh', ['-c', 'echo; read line'], target);
    expect(await mounter.mount(plan, target)).toBe(target);
    user.kill('SIGKILL');
    await once(user, 'exit');
    await mounter.unmount(target);
    expect(mountsBelow(readMountTable(), base)).toEqual([]);
  });
});
