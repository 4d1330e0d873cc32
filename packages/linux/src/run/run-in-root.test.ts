import type { StoreError } from '@layerstore/core';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MS_RDONLY } from '../constants.js';
import { Mounter } from '../mounter/mounter.js';
import { mountsBelow, readMountTable } from '../mount-table.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { runInRoot, type RunInRootOptions, type RunInRootResult } from './run-in-root.js';

/** A tmpfs: unmounting an overlay syncs the whole file system that holds its upper. */
const memory = '/dev/shm';

const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;

/** Copies programs of this machine and the libraries that they load. */
function makeRoot(root: string, programs: readonly string[]): void {
  for (const name of programs) {
    const program = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
    for (const file of [program, ...libraries]) {
      const target = join(root, file.replace(/^\/(bin|lib|lib64)\//, '/usr/$1/'));
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(file, target);
    }
  }
  for (const name of ['bin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  mkdirSync(join(root, 'tmp'));
}

describe.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')('runInRoot (needs root)', () => {
  let base: string;
  let root: string;

  beforeEach(() => {
    base = mkdtempSync(join(memory, 'run-in-root-'));
    root = join(base, 'root');
    makeRoot(root, ['sh', 'cat', 'ls', 'sleep', 'id', 'stat', 'mkdir', 'readlink']);
  });
  afterEach(() => {
    expect(mountsBelow(readMountTable(), base)).toEqual([]);
    rmSync(base, { recursive: true });
  });

  function run(script: string, options: Partial<RunInRootOptions> = {}): Promise<RunInRootResult> {
    return runInRoot({
      root,
      command: ['sh', '-c', script],
      environment: { PATH: '/usr/bin:/bin' },
      stdio: 'pipe',
      ...options,
    });
  }

  it('gives the program the directory as its whole system, and tells its exit code and output', async () => {
    const result = await run('pwd; ls /; echo problem >&2; exit 7');
    expect(result).toEqual({
      exitCode: 7,
      stdout: '/\nbin\ndev\nlib\nlib64\nproc\nsys\ntmp\nusr\n',
      stderr: 'problem\n',
    });
  });

  it('leaves no directory for its mounts behind, and the time of the root as it was', async () => {
    const before = nativeSyscalls().statx(-100, root, 0).modifiedNs;
    mkdirSync(join(root, 'proc'));
    const withProc = nativeSyscalls().statx(-100, root, 0).modifiedNs;
    await run('true');
    expect(readdirSync(root).sort()).toEqual(['bin', 'lib', 'lib64', 'proc', 'tmp', 'usr']);
    expect(nativeSyscalls().statx(-100, root, 0).modifiedNs).toBe(withProc);
    expect(withProc).toBeGreaterThan(before);
  });

  it('keeps what somebody has put into such a directory meanwhile', async () => {
    const running = run(': > /tmp/up; while [ ! -e /tmp/go ]; do sleep 0.01; done');
    await exists(join(root, 'tmp/up'));
    writeFileSync(join(root, 'dev/kept'), '');
    writeFileSync(join(root, 'tmp/go'), '');
    await running;
    expect(readdirSync(root).sort()).toEqual(['bin', 'dev', 'lib', 'lib64', 'tmp', 'usr']);
    expect(readdirSync(join(root, 'dev'))).toEqual(['kept']);
  });

  it('has fresh /proc, read-only /sys, and a /dev that works', async () => {
    const { stdout } = await run(`
      echo $$; readlink /proc/self/exe
      (echo x > /sys/x) 2>/dev/null && echo writable
      echo gone > /dev/null; cat /dev/null; stat -c %t:%T /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
      echo text > /dev/shm/file && cat /dev/fd/3 3< /dev/shm/file
      [ -c /dev/pts/ptmx ] && readlink /dev/ptmx
    `);
    expect(stdout?.split('\n').slice(0, -1)).toEqual([
      expect.stringMatching(/^\d{1,2}$/),
      '/usr/bin/readlink',
      '1:5',
      '1:7',
      '1:8',
      '1:9',
      '5:0',
      'text',
      'pts/ptmx',
    ]);
  });

  it('shows nothing of the host: no mounts, no processes, no open files', async () => {
    const { stdout } = await run('cat /proc/self/mountinfo; echo --; ls /proc/self/fd; echo --; ls -d /proc/[0-9]*');
    const [mounts = '', descriptors = '', processes = ''] = stdout?.split('--\n') ?? [];
    const points = mounts
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[4]);
    expect(points.filter((point) => !/^\/(dev|proc|sys|etc)?(\/|$)/.test(point ?? ''))).toEqual([]);
    expect(points.filter((point) => point === '/')).toHaveLength(1);
    // 0, 1, 2, and the directory that ls reads
    expect(descriptors.trim().split('\n')).toHaveLength(4);
    expect(processes.trim().split('\n').length).toBeLessThan(5);
  });

  it('passes exactly the environment, the working directory, the user and the host name that it is given', async () => {
    mkdirSync(join(root, 'work'));
    const options = {
      environment: { PATH: '/bin', ONLY: 'this' },
      workingDirectory: '/work',
      user: { uid: 1234, gid: 5678 },
      hostname: 'inside',
    };
    const { stdout } = await run(
      'pwd; id -u; id -g; id -G; cat /proc/sys/kernel/hostname; cat /proc/self/environ',
      options,
    );
    const [directory, uid, gid, groups, name, environment] = stdout?.split('\n') ?? [];
    expect([directory, uid, gid, groups, name]).toEqual(['/work', '1234', '5678', '5678', 'inside']);
    expect(environment?.split('\0').filter((entry) => !entry.startsWith('PWD='))).toEqual(
      expect.arrayContaining(['PATH=/bin', 'ONLY=this', '']),
    );
    expect(environment).not.toContain('NODE');
    expect(hostname()).not.toBe('inside');
  });

  it('feeds input, and does not mind a program that leaves it unread', async () => {
    expect(await run('cat', { input: 'some\ninput' })).toEqual({ exitCode: 0, stdout: 'some\ninput', stderr: '' });
    expect(await run('exit 3', { input: Buffer.alloc(1 << 20) })).toMatchObject({ exitCode: 3 });
  });

  it('looks for the program in the PATH inside the root', async () => {
    mkdirSync(join(root, 'opt'));
    writeFileSync(join(root, 'opt/tool'), '#!/bin/sh\necho from inside "$1"\n', { mode: 0o755 });
    const environment = { PATH: '/nowhere:/opt' };
    expect(await run('', { command: ['tool', 'a b'], environment })).toMatchObject({ stdout: 'from inside a b\n' });
  });

  it('gives 127 for a program that is not there and 126 for one that cannot be executed', async () => {
    writeFileSync(join(root, 'usr/bin/data'), 'not a program', { mode: 0o644 });
    mkdirSync(join(root, 'usr/bin/folder'));
    expect(await run('', { command: ['node'] })).toMatchObject({
      exitCode: 127,
      reason: 'node: not found in the root',
    });
    expect(await run('', { command: ['/opt/absent'] })).toMatchObject({ exitCode: 127 });
    for (const name of ['data', '/usr/bin/data', '/usr/bin/folder']) {
      expect(await run('', { command: [name] })).toMatchObject({
        exitCode: 126,
        reason: `${name}: cannot be executed (EACCES)`,
      });
    }
  });

  it('gives 128 + n and the name for a program that a signal ended', async () => {
    expect(await run('kill -TERM $$')).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
    expect(await run('kill -KILL $$')).toMatchObject({ exitCode: 137, signal: 'SIGKILL' });
  });

  it('asks a program to end on abort, and ends everything inside when it does not', async () => {
    const polite = new AbortController();
    const ending = run('trap "echo bye > /tmp/bye; exit 0" TERM; : > /tmp/up; sleep 60 & wait', {
      signal: polite.signal,
    });
    await exists(join(root, 'tmp/up'));
    polite.abort();
    await expect(ending).rejects.toThrow(code('ERR_ABORTED'));
    expect(readFileSync(join(root, 'tmp/bye'), 'utf8')).toBe('bye\n');

    rmSync(join(root, 'tmp/up'));
    const firm = new AbortController();
    const deaf = run('trap "" TERM; : > /tmp/up; sleep 60; sleep 60', { signal: firm.signal, graceMs: 20 });
    await exists(join(root, 'tmp/up'));
    firm.abort();
    await expect(deaf).rejects.toThrow(code('ERR_ABORTED'));
    await expect(run('true', { signal: firm.signal })).rejects.toThrow(code('ERR_ABORTED'));
    expect(processesIn(root)).toEqual([]);
  });

  it('ends what the program leaves running', async () => {
    const running = run('sleep 60 & (sleep 60 &) ; : > /tmp/up; while [ ! -e /tmp/go ]; do sleep 0.01; done');
    await exists(join(root, 'tmp/up'));
    expect(processesIn(root).length).toBeGreaterThan(2);
    writeFileSync(join(root, 'tmp/go'), '');
    await running;
    expect(processesIn(root)).toEqual([]);
  });

  it('leaves no zombies of orphans', async () => {
    writeFileSync(join(root, 'tmp/attempts'), 'x '.repeat(500));
    const { stdout } = await run(`
      for i in 1 2 3 4 5; do (sleep 0.05 &) ; done
      sleep 0.3
      for attempt in $(cat /tmp/attempts); do
        case "$(cat /proc/[0-9]*/stat 2>/dev/null)" in
          *") Z "*) sleep 0.02 ;;
          *) echo collected; exit ;;
        esac
      done
    `);
    expect(stdout).toBe('collected\n');
  });

  it('takes a root that has its /sys mounted already', async () => {
    const sys = nativeSyscalls();
    mkdirSync(join(root, 'sys'));
    sys.mount('sysfs', join(root, 'sys'), 'sysfs', MS_RDONLY, '');
    try {
      expect(await run('ls -d /sys/kernel')).toMatchObject({ stdout: '/sys/kernel\n' });
    } finally {
      sys.umount(join(root, 'sys'), 0);
    }
  });

  it('does not touch the host where the root has symlinks for mount points', async () => {
    const bait = join(base, 'bait');
    mkdirSync(bait);
    symlinkSync(bait, join(root, 'dev'));
    symlinkSync('../../../../../../../..' + bait, join(root, 'proc'));
    symlinkSync('/usr', join(root, 'sys'));
    mkdirSync(join(root, 'etc'));
    symlinkSync('/etc/hostname', join(root, 'etc/resolv.conf'));
    // /sys leads to /usr inside the root, which the mount then covers there: nothing can be executed.
    const result = await run('true');
    expect(result.exitCode).toBe(127);
    expect(readdirSync(bait)).toEqual([]);
    expect(readlinkSync(join(root, 'dev'))).toBe(bait);
  });

  it('shows the resolv.conf of the host, read-only, where the root has one', async () => {
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/resolv.conf'), 'of the image');
    const expected = existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : 'of the image';
    const { stdout } = await run('cat /etc/resolv.conf; (echo x >> /etc/resolv.conf) 2>/dev/null && echo writable');
    expect(stdout).toBe(expected);
    expect(readFileSync(join(root, 'etc/resolv.conf'), 'utf8')).toBe('of the image');
  });

  it('keeps the mounts of a second run when the first one in the same root ends', async () => {
    const second = run(
      ': > /tmp/up; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo $(cat /proc/self/comm); ls /dev/pts',
    );
    await exists(join(root, 'tmp/up'));
    await run('true');
    writeFileSync(join(root, 'tmp/go'), '');
    expect(await second).toMatchObject({ exitCode: 0, stdout: 'cat\nptmx\n' });
    expect(readdirSync(root).sort()).toEqual(['bin', 'lib', 'lib64', 'tmp', 'usr']);
  });

  it('runs in an overlay, whose upper then holds the changes of the program and nothing else', async () => {
    const [upper, work, empty, view] = ['upper', 'work', 'empty', 'view'].map((name) => join(base, name));
    for (const path of [upper!, work!, empty!]) mkdirSync(path);
    const plan = {
      kind: 'overlay',
      lowers: [empty!, root],
      upper: { path: upper!, work: work! },
      options: [],
    } as const;
    await new Mounter().withMount(plan, view!, async () => {
      await run('echo new > /tmp/new; mkdir /made', { root: view! });
      await run('cat /tmp/new', { root: view! });
    });
    expect(readdirSync(upper!).sort()).toEqual(['made', 'tmp']);
  });

  it('works without the mount points where the root cannot be written to', async () => {
    const [empty, view] = ['empty', 'view'].map((name) => join(base, name));
    mkdirSync(empty!);
    await new Mounter().withMount({ kind: 'overlay', lowers: [empty!, root], options: [] }, view!, async () => {
      expect(await run('ls /', { root: view! })).toMatchObject({ stdout: 'bin\nlib\nlib64\ntmp\nusr\n' });
    });
  });

  it('ends with the process that started it, killed or not, and leaves no mount', async () => {
    const library = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
    const script = `
      import { runInRoot } from ${JSON.stringify(library)};
      await runInRoot({ root: ${JSON.stringify(root)}, command: ['sh', '-c', ': > /tmp/up; (sleep 60 &); sleep 60'],
        environment: { PATH: '/bin' } });`;
    const caller = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    try {
      await exists(join(root, 'tmp/up'));
      expect(processesIn(root).length).toBeGreaterThan(1);
    } finally {
      caller.kill('SIGKILL');
      await once(caller, 'exit');
    }
    while (processesIn(root).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    // The directories that the killed run made go with the next one.
    expect(existsSync(join(root, 'proc'))).toBe(true);
    await run('true');
    expect(existsSync(join(root, 'proc'))).toBe(false);
  });

  it('ends a program that writes without end into a pipe', async () => {
    await expect(run('while :; do cat /usr/bin/*; done')).rejects.toThrow(code('ERR_LIMIT_EXCEEDED'));
  });

  it('leaves this process where it was', async () => {
    const namespaces = (): string[] =>
      ['mnt', 'pid_for_children', 'uts'].map((name) => readlinkSync(`/proc/self/ns/${name}`));
    const before = namespaces();
    await run('true', { hostname: 'inside' });
    expect(namespaces()).toEqual(before);
    expect(statSync('/').ino).toBe(statSync('/proc/self/root/.').ino);
  });

  it('refuses what cannot be run before anything is mounted', async () => {
    const refused = (options: Partial<RunInRootOptions>): Promise<RunInRootResult> => run('true', options);
    await expect(refused({ command: [] })).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(refused({ command: ['a\0b'] })).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(refused({ root: '/' })).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(refused({ root: 'relative' })).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(refused({ workingDirectory: 'relative' })).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(refused({ root: join(base, 'absent') })).rejects.toThrow(code('ERR_NOT_FOUND'));
    await expect(refused({ root: join(root, 'usr/bin/cat') })).rejects.toThrow(code('ERR_NOT_FOUND'));
    await expect(refused({ workingDirectory: '/absent' })).rejects.toThrow(code('ERR_NOT_FOUND'));
  });
});

async function exists(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Processes whose root directory is `root`; its name says nothing, for it is in another mount namespace. */
function processesIn(root: string): string[] {
  const { ino, dev } = statSync(root);
  return readdirSync('/proc').filter((pid) => {
    const own = /^\d+$/.test(pid) ? rootOf(pid) : undefined;
    return own?.ino === ino && own.dev === dev;
  });
}

function rootOf(pid: string): Stats | undefined {
  try {
    return statSync(`/proc/${pid}/root/.`);
  } catch {
    return undefined;
  }
}
