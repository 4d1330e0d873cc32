import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { release } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryMount } from '../../../../test/support/fuse-directory-mount.js';
import { isRoot, Scratch } from '../../../../test/support/scratch.js';
import { S_IFCHR } from '../constants.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { AT_FDCWD } from '../syscalls.js';
import { abortFuseMount } from './abort-mount.js';

/** Linux 6.9. */
const hasPassthrough = release().localeCompare('6.9', undefined, { numeric: true }) >= 0;

const run = (command: string, ...args: string[]): string =>
  execFileSync('bash', ['-c', command, 'bash', ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });

/** The failure's errno name as a program sees it. */
function errnoOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** Waits until a process waits for the answer to OPEN, and the server had time to read the request. */
async function waitsForServer(pid: number): Promise<void> {
  while (!readFileSync(`/proc/${pid}/stack`, 'utf8').includes('fuse_send_open')) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
}

function makeTree(root: string): void {
  const sys = nativeSyscalls();
  mkdirSync(`${root}/deep/er/est`, { recursive: true });
  mkdirSync(`${root}/many`);
  for (let index = 0; index < 3000; index++) writeFileSync(`${root}/many/entry-${index}`, `content ${index}\n`);
  writeFileSync(`${root}/deep/er/est/file`, 'at the bottom\n', { mode: 0o4750 });
  writeFileSync(`${root}/large`, Buffer.alloc(5_000_000, 'all work and no play '));
  writeFileSync(`${root}/middle`, Buffer.alloc(700_001, '0123456789abcdef!'));
  writeFileSync(`${root}/empty`, '');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x0a, 0xfe])]), 'raw name');
  writeFileSync(`${root}/${'n'.repeat(255)}`, 'longest name');
  symlinkSync(`../${'x'.repeat(1000)}`, `${root}/deep/link`);
  sys.mknodat(AT_FDCWD, `${root}/device`, S_IFCHR | 0o640, 300, 70_000);
  sys.mknodat(AT_FDCWD, `${root}/pipe`, 0o010600, 0, 0);
  sys.setXattr(`${root}/deep`, 'user.note', Buffer.from('a value'));
  sys.setXattr(`${root}/deep/er/est/file`, 'user.empty', Buffer.alloc(0));
  sys.utimensat(AT_FDCWD, `${root}/empty`, 0n, -1_500_000_000n, 0);
  sys.utimensat(AT_FDCWD, `${root}/middle`, 0n, 1_700_000_000_123_456_789n, 0);
  sys.fchownat(AT_FDCWD, `${root}/middle`, 70_001, 4_000_000_000, 0);
  for (const name of ['late-1', 'late-2', 'never-1', 'unopened-1', 'broken-1'])
    writeFileSync(`${root}/${name}`, `${name}\n`);
}

async function served(threads = 2): Promise<DirectoryMount> {
  const scratch = new Scratch('fuse');
  mkdirSync(scratch.file('source'));
  makeTree(scratch.file('source'));
  return new DirectoryMount(scratch, scratch.file('source')).start(threads);
}

describe.skipIf(!isRoot)('a directory served through FUSE (needs root)', () => {
  let mount: DirectoryMount;
  beforeAll(async () => {
    mount = await served();
  });
  afterAll(async () => {
    await mount[Symbol.asyncDispose]();
  });

  it('is the same directory for tar, with attributes, times and devices', () => {
    const archive = (root: string): string =>
      run(
        `tar -C "$1" --sort=name --xattrs --format=posix --pax-option=delete=atime,delete=ctime \
          --exclude='./broken*' --exclude='./never*' --exclude='./unopened*' -cf - . | sha256sum`,
        root,
      );
    expect(archive(mount.path)).toBe(archive(mount.source));
  });

  it('lists the same again and again', () => {
    const list = (root: string): string => run(`cd "$1" && ls -AlR --time-style=full-iso | grep -av ^total`, root);
    const first = list(mount.path);
    expect(first).toBe(list(mount.source));
    expect(list(mount.path)).toBe(first);
  });

  it('finds no name that is not there, also when asked twice', () => {
    for (let times = 0; times < 2; times++) {
      expect(errnoOf(() => readFileSync(mount.file('many/absent')))).toBe('ENOENT');
    }
  });

  it('reads at any offset what is there, by many processes at once', () => {
    const program = `
      const fs = require('fs');
      const [mount, source, seed] = process.argv.slice(1);
      let state = Number(seed);
      const next = (limit) => ((state = (state * 1103515245 + 12345) % 2147483648) % limit);
      for (const name of ['large', 'middle']) {
        const all = fs.readFileSync(source + '/' + name);
        const fd = fs.openSync(mount + '/' + name, 'r');
        const into = Buffer.alloc(200000);
        for (let times = 0; times < 150; times++) {
          const offset = next(all.length + 1000);
          const length = 1 + next(into.length);
          const count = fs.readSync(fd, into, 0, length, offset);
          if (!into.subarray(0, count).equals(all.subarray(offset, offset + length))) process.exit(1);
        }
      }`;
    const line = `for seed in 1 2 3 4 5 6; do "$0" -e "$1" "$2" "$3" $seed & pids="$pids $!"; done
      for pid in $pids; do wait $pid || exit 1; done`;
    const { status } = spawnSync('bash', ['-c', line, process.execPath, program, mount.path, mount.source]);
    expect(status).toBe(0);
  });

  it('refuses every change', () => {
    expect(errnoOf(() => writeFileSync(mount.file('new'), ''))).toBe('EROFS');
    expect(errnoOf(() => writeFileSync(mount.file('empty'), 'x'))).toBe('EROFS');
    expect(errnoOf(() => mkdirSync(mount.file('new')))).toBe('EROFS');
  });

  it('lets another thread answer what needs time', () => {
    expect(readFileSync(mount.file('late-1'), 'utf8')).toBe('late-1\n');
  });

  it('gives EIO for an exception of the file system, and tells of it', async () => {
    expect(errnoOf(() => readFileSync(mount.file('broken-1')))).toBe('EIO');
    while (mount.failures.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(mount.failures[0]).toContain('this file is broken');
    expect(readFileSync(mount.file('deep/er/est/file'), 'utf8')).toBe('at the bottom\n');
  });

  it('lets a reader be killed that waits for an answer which never comes', () => {
    for (const name of ['never-1', 'unopened-1']) {
      const { signal, status } = spawnSync('timeout', ['-s', 'KILL', '0.5', 'cat', mount.file(name)]);
      expect(signal ?? status).toBe('SIGKILL');
      expect(spawnSync('timeout', ['0.5', 'cat', mount.file(name)]).status).toBe(124);
    }
  });

  it('leaves a reader waiting that handles its signal', () => {
    const program = `
      perl -e '$SIG{USR1} = sub { print "handled\n" }; open(F, $ARGV[0]); print "opened\n"' "$1" & reader=$!
      sleep 0.3; kill -USR1 $reader; sleep 0.5; kill -0 $reader && echo waiting; kill -TERM $reader; wait $reader; echo $?`;
    expect(run(program, mount.file('unopened-1'))).toBe('waiting\n143\n');
  });

  it('shows the size of the file system', () => {
    expect(run('stat -f -c "%b %S" "$1"', mount.path)).toBe('1000 4096\n');
  });

  it.skipIf(!hasPassthrough)('leaves large files to the kernel, which reads them while the server is stopped', () => {
    const fd = openSync(mount.file('large'), 'r');
    const into = Buffer.alloc(100_000);
    process.kill(mount.pid, 'SIGSTOP');
    try {
      expect(readSync(fd, into, 0, into.length, 4_000_000)).toBe(into.length);
    } finally {
      process.kill(mount.pid, 'SIGCONT');
      closeSync(fd);
    }
    expect(into.equals(readFileSync(mount.file('large')).subarray(4_000_000, 4_100_000))).toBe(true);
  });
});

describe.skipIf(!isRoot)('a kernel overlay over a FUSE mount (needs root)', () => {
  async function overlaid(): Promise<DirectoryMount> {
    const scratch = new Scratch('fuse-overlay');
    const source = scratch.file('source');
    const sys = nativeSyscalls();
    for (const layer of ['base', 'top']) mkdirSync(`${source}/${layer}/opaque`, { recursive: true });
    writeFileSync(`${source}/base/deleted`, 'old');
    writeFileSync(`${source}/base/kept`, 'kept');
    writeFileSync(`${source}/base/large`, Buffer.alloc(3_000_000, 'large '));
    writeFileSync(`${source}/base/opaque/hidden`, 'old');
    writeFileSync(`${source}/top/opaque/shown`, 'new');
    sys.mknodat(AT_FDCWD, `${source}/top/deleted`, S_IFCHR, 0, 0);
    sys.setXattr(`${source}/top/opaque`, 'trusted.overlay.opaque', Buffer.from('y'));
    const mount = await new DirectoryMount(scratch, source).start(2);
    for (const name of ['upper', 'work', 'view']) mkdirSync(scratch.file(name));
    run(
      'cd "$1" && mount -t overlay overlay -o lowerdir=mount/top:mount/base,upperdir=upper,workdir=work view',
      scratch.path,
    );
    return mount;
  }

  it('hides what whiteouts and opaque directories hide, and takes writes', async () => {
    await using mount = await overlaid();
    const view = `${mount.path}/../view`;
    expect(run('cd "$1" && find . | sort | tr "\\n" " "', view)).toBe('. ./kept ./large ./opaque ./opaque/shown ');
    writeFileSync(`${view}/kept`, ' and changed', { flag: 'a' });
    writeFileSync(`${view}/large`, 'tail', { flag: 'a' });
    run('cd "$1" && rm opaque/shown && mv kept moved && echo again > deleted', view);
    expect(readFileSync(`${view}/moved`, 'utf8')).toBe('kept and changed');
    expect(readFileSync(`${view}/deleted`, 'utf8')).toBe('again\n');
    expect(readFileSync(`${view}/large`).length).toBe(3_000_004);
    expect(existsSync(`${view}/opaque/shown`)).toBe(false);
    expect(readFileSync(`${mount.source}/base/kept`, 'utf8')).toBe('kept');
  });

  it('keeps what was written when the server is killed, and reads on with the next', async () => {
    await using mount = await overlaid();
    const view = `${mount.path}/../view`;
    const held = openSync(`${view}/large`, 'r');
    writeFileSync(`${view}/written`, 'before');
    await mount.kill();
    writeFileSync(`${view}/written`, ' and after', { flag: 'a' });
    expect(readFileSync(`${view}/written`, 'utf8')).toBe('before and after');
    expect(readFileSync(`${view}/kept`, 'utf8')).toBe('kept');
    const into = Buffer.alloc(6);
    expect(readSync(held, into, 0, 6, 600_000)).toBe(6);
    expect(into.toString()).toBe('large ');
    closeSync(held);
  });
});

describe.skipIf(!isRoot)('the end of a FUSE mount (needs root)', () => {
  it('is refused while a file is open, and ends the server once the last user has gone', async () => {
    await using mount = await served(3);
    const fd = openSync(mount.file('middle'), 'r');
    expect(spawnSync('umount', [mount.path]).status).not.toBe(0);
    run('umount -l "$1"', mount.path);
    const into = Buffer.alloc(10);
    expect(readSync(fd, into, 0, 10, 17)).toBe(10);
    closeSync(fd);
    await mount.ended();
    expect(existsSync(`/proc/${mount.pid}`)).toBe(false);
  });

  it('comes by an abort while readers wait', async () => {
    await using mount = await served();
    const reader = spawn('cat', [mount.file('unopened-1')], { stdio: 'ignore' });
    const exit = once(reader, 'exit');
    await waitsForServer(reader.pid!);
    abortFuseMount(nativeSyscalls(), mount.path);
    const [code] = (await exit) as [number];
    expect(code).not.toBe(0);
    await mount.ended();
  });
});

describe.skipIf(!isRoot)('a server that is killed (needs root)', () => {
  it('fails the readers of that moment, and the next one serves the same files', async () => {
    await using mount = await served();
    const reader = spawn('cat', [mount.file('unopened-1')], { stdio: 'ignore' });
    const exit = once(reader, 'exit');
    await waitsForServer(reader.pid!);
    await mount.kill();
    const [code] = (await exit) as [number];
    expect(code).toBe(1);
    expect(readFileSync(mount.file('deep/er/est/file'), 'utf8')).toBe('at the bottom\n');
    expect(run('ls "$1" | wc -l', mount.file('many'))).toBe('3000\n');
  });

  it('never gives wrong bytes, whenever it is killed', async () => {
    await using mount = await served();
    const line = `
      for times in $(seq 30); do
        for name in 10 999 2998; do
          content=$(cat "$1/many/entry-$name" 2>/dev/null) || continue
          [ "$content" = "content $name" ] || { echo "wrong: $content"; exit 9; }
        done
        echo 2 > /proc/sys/vm/drop_caches
      done`;
    const reader = spawn('bash', ['-c', line, 'bash', mount.path], { stdio: ['ignore', 'inherit', 'inherit'] });
    const ended = once(reader, 'exit');
    for (let times = 0; times < 4; times++) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await mount.kill();
    }
    expect((await ended)[0]).toBe(0);
  });
});
