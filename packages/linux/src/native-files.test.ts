import { spawn, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as constants from './constants.js';
import { nativeSyscalls } from './native-syscalls.js';
import { AT_FDCWD, SystemError, type Syscalls } from './syscalls.js';

const { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDWR, S_IFCHR } =
  constants;

const asRoot = describe.skipIf(process.getuid?.() !== 0);

function thrown(call: () => unknown): SystemError {
  try {
    call();
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
  throw new Error('the call succeeded');
}

describe.skipIf(process.platform !== 'linux')('the kernel behind nativeSyscalls (Linux only)', () => {
  let sys: Syscalls;
  let base: string;
  let dir: number;
  const open: number[] = [];
  const keep = (fd: number): number => {
    open.push(fd);
    return fd;
  };

  beforeAll(() => {
    sys = nativeSyscalls();
    base = mkdtempSync(join(tmpdir(), 'linux-calls-'));
    dir = keep(sys.openat(AT_FDCWD, base, O_DIRECTORY));
  });

  afterAll(() => {
    for (const fd of open) sys.close(fd);
    rmSync(base, { recursive: true });
  });

  it('is one object per thread', () => {
    expect(nativeSyscalls()).toBe(sys);
  });

  it('opens, writes at positions, reads back and reports the end of the file', () => {
    const fd = keep(sys.openat(dir, 'data', O_CREAT | O_EXCL | O_RDWR, 0o600));
    sys.write(fd, Buffer.from('hello '));
    sys.write(fd, new Uint8Array(Buffer.from('xxworld')).subarray(2));
    sys.write(fd, Buffer.from('J'), 0);
    const into = Buffer.alloc(32);
    expect(sys.read(fd, into.subarray(4), 0)).toBe(11);
    expect(into.toString('latin1', 4, 15)).toBe('Jello world');
    expect(sys.read(fd, into)).toBe(0);
    sys.ftruncate(fd, 5);
    expect(readFileSync(join(base, 'data'), 'utf8')).toBe('Jello');
  });

  it('closes every descriptor on exec, so that programs do not inherit locks', () => {
    const fd = keep(sys.openat(dir, '.', O_DIRECTORY));
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\t0?2\d{6}$/m);
  });

  it('throws errors shaped like those of node:fs', () => {
    const error = thrown(() => sys.openat(dir, 'absent', 0));
    expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'openat', path: 'absent' });
    expect(thrown(() => sys.close(1_000_000)).code).toBe('EBADF');
    expect(thrown(() => sys.openat(dir, 'x'.repeat(300), 0)).code).toBe('ENAMETOOLONG');
    expect(thrown(() => sys.openat(dir, Buffer.alloc(9000, 'y'), 0)).code).toBe('ENAMETOOLONG');
  });

  it('refuses NUL inside names, strings and bytes alike, before the kernel sees a shorter name', () => {
    expect(thrown(() => sys.mkdirat(dir, 'short\0name', 0o700))).toMatchObject({ code: 'EINVAL', errno: -22 });
    expect(thrown(() => sys.mkdirat(dir, Buffer.from('short\0name'), 0o700)).code).toBe('EINVAL');
    expect(thrown(() => sys.mkdirat(dir, new Uint8Array([0]), 0o700)).code).toBe('EINVAL');
    expect(thrown(() => sys.statx(dir, 'short', 0)).code).toBe('ENOENT');
  });

  it('keeps names that are no UTF-8', () => {
    const name = Buffer.from([0x66, 0xff, 0xfe, 0x80]);
    sys.mkdirat(dir, name, 0o755);
    sys.symlinkat(Buffer.from([0xc0, 0x2f, 0xc1]), dir, Buffer.concat([name, Buffer.from('/link')]));
    expect(sys.readlinkat(dir, Buffer.concat([name, Buffer.from('/link')]))).toEqual(Buffer.from([0xc0, 0x2f, 0xc1]));
  });

  it('ends a name where its bytes end, whatever longer name was passed before', () => {
    sys.mkdirat(dir, Buffer.from('a-long-directory-name'), 0o755);
    sys.mkdirat(dir, Buffer.from('a-long'), 0o755);
    expect(statSync(join(base, 'a-long')).isDirectory()).toBe(true);
  });

  it('sets and tells times to the nanosecond, before 1970 too', () => {
    writeFileSync(join(base, 'times'), '');
    const roundTrip = (accessed: bigint, modified: bigint): void => {
      sys.utimensat(dir, 'times', accessed, modified, 0);
      const status = sys.statx(dir, 'times', 0);
      expect([status.accessedNs, status.modifiedNs]).toEqual([accessed, modified]);
    };
    roundTrip(1_700_000_000_123_456_789n, -1n);
    roundTrip(-1_500_000_000_000_000_001n, -1_000_000_000n);
    // What ext4 keeps in small inodes too; at the very first and last second the kernel clears the nanoseconds.
    const time = fc.bigInt({ min: -2_147_483_647n * 1_000_000_000n, max: 2_147_483_647n * 1_000_000_000n - 1n });
    fc.assert(fc.property(time, time, roundTrip));
  });

  it('leaves a time alone that is undefined, and sets times of a symlink itself', () => {
    symlinkSync('times', join(base, 'times-link'));
    writeFileSync(join(base, 'times'), '');
    sys.utimensat(dir, 'times', 1n, 2n, 0);
    sys.utimensat(dir, 'times', undefined, 3n, 0);
    sys.utimensat(dir, 'times-link', 7n, 8n, AT_SYMLINK_NOFOLLOW);
    expect(sys.statx(dir, 'times', 0)).toMatchObject({ accessedNs: 1n, modifiedNs: 3n });
    expect(sys.statx(dir, 'times-link', AT_SYMLINK_NOFOLLOW)).toMatchObject({ accessedNs: 7n, modifiedNs: 8n });
    const fd = keep(sys.openat(dir, 'times', O_RDWR));
    sys.futimens(fd, 5n, undefined);
    expect(sys.statx(fd, '', AT_EMPTY_PATH)).toMatchObject({ accessedNs: 5n, modifiedNs: 3n });
  });

  it('tells the same of a file as node:fs', () => {
    writeFileSync(join(base, 'status'), 'x'.repeat(10_000), { mode: 0o640 });
    for (const path of [join(base, 'status'), base, '/dev/null', '/proc/self/exe']) {
      const ours = sys.statx(AT_FDCWD, path, 0);
      const theirs = statSync(path, { bigint: true });
      expect(ours).toMatchObject({
        mode: Number(theirs.mode),
        links: Number(theirs.nlink),
        uid: Number(theirs.uid),
        gid: Number(theirs.gid),
        size: Number(theirs.size),
        allocated: Number(theirs.blocks) * 512,
        inode: theirs.ino,
        modifiedNs: theirs.mtimeNs,
        changedNs: theirs.ctimeNs,
        accessedNs: theirs.atimeNs,
      });
      expect(BigInt(ours.deviceMajor * 256 + ours.deviceMinor)).toBe(theirs.dev);
    }
    expect(sys.statx(AT_FDCWD, '/dev/null', 0)).toMatchObject({ specialMajor: 1, specialMinor: 3 });
  });

  it('says nothing where there is nothing, and still throws for all else', () => {
    writeFileSync(join(base, 'present'), '');
    expect(sys.statxIfPresent(dir, 'present', 0)).toEqual(sys.statx(dir, 'present', 0));
    expect(sys.statxIfPresent(dir, 'not-there', 0)).toBeUndefined();
    expect(sys.statxIfPresent(dir, 'present/below', 0)).toBeUndefined();
    symlinkSync('loop', join(base, 'loop'));
    expect(thrown(() => sys.statxIfPresent(dir, 'loop', 0)).code).toBe('ELOOP');
  });

  it('makes hard links to a symlink itself and to what an open descriptor shows', () => {
    symlinkSync('nowhere', join(base, 'symlink'));
    sys.linkat(dir, 'symlink', dir, 'symlink-again', 0);
    const [one, two] = ['symlink', 'symlink-again'].map((name) => sys.statx(dir, name, AT_SYMLINK_NOFOLLOW));
    expect(two).toEqual(one);
    expect(one?.links).toBe(2);
    expect(thrown(() => sys.linkat(dir, 'symlink', dir, 'symlink', 0)).code).toBe('EEXIST');
  });

  it('renames without replacing, and exchanges', () => {
    sys.mkdirat(dir, 'left', 0o755);
    writeFileSync(join(base, 'right'), 'file');
    expect(thrown(() => sys.renameat2(dir, 'left', dir, 'right', constants.RENAME_NOREPLACE)).code).toBe('EEXIST');
    sys.renameat2(dir, 'left', dir, 'right', constants.RENAME_EXCHANGE);
    expect(statSync(join(base, 'right')).isDirectory()).toBe(true);
    sys.renameat2(dir, 'left', dir, 'elsewhere', 0);
    expect(readFileSync(join(base, 'elsewhere'), 'utf8')).toBe('file');
    sys.unlinkat(dir, 'elsewhere', 0);
    sys.unlinkat(dir, 'right', AT_REMOVEDIR);
    expect(thrown(() => sys.unlinkat(dir, 'right', 0)).code).toBe('ENOENT');
  });

  it('changes modes by name and by descriptor, special bits included', () => {
    writeFileSync(join(base, 'mode'), '');
    sys.fchmodat(dir, 'mode', 0o4755);
    expect(statSync(join(base, 'mode')).mode & 0o7777).toBe(0o4755);
    sys.fchmod(keep(sys.openat(dir, 'mode', O_RDWR)), 0o600);
    expect(statSync(join(base, 'mode')).mode & 0o7777).toBe(0o600);
  });

  describe('openat2', () => {
    beforeAll(() => {
      mkdirSync(join(base, 'jail/etc'), { recursive: true });
      writeFileSync(join(base, 'jail/etc/passwd'), 'jailed');
      symlinkSync('/etc/passwd', join(base, 'jail/absolute'));
      symlinkSync('../../../../../../etc/passwd', join(base, 'jail/upwards'));
    });

    it('keeps absolute and upward links inside the directory with RESOLVE_IN_ROOT', () => {
      const jail = keep(sys.openat(dir, 'jail', O_DIRECTORY));
      for (const name of ['absolute', 'upwards', '/etc/passwd', '../../etc/passwd']) {
        const fd = keep(sys.openat2(jail, name, { flags: 0, resolve: constants.RESOLVE_IN_ROOT }));
        const into = Buffer.alloc(6);
        sys.read(fd, into);
        expect(into.toString()).toBe('jailed');
      }
    });

    it('refuses them with RESOLVE_BENEATH, and every link with RESOLVE_NO_SYMLINKS', () => {
      const jail = keep(sys.openat(dir, 'jail', O_DIRECTORY));
      const beneath = { flags: 0, resolve: constants.RESOLVE_BENEATH };
      for (const name of ['absolute', 'upwards', '/etc/passwd', '..']) {
        expect(thrown(() => sys.openat2(jail, name, beneath)).code).toBe('EXDEV');
      }
      const noLinks = { flags: O_PATH, resolve: constants.RESOLVE_NO_SYMLINKS };
      expect(thrown(() => sys.openat2(jail, 'absolute', noLinks)).code).toBe('ELOOP');
    });

    it('creates with a mode', () => {
      const how = { flags: O_CREAT | O_EXCL | O_RDWR, mode: 0o600, resolve: constants.RESOLVE_BENEATH };
      keep(sys.openat2(dir, 'created', how));
      expect(statSync(join(base, 'created')).mode & 0o7777).toBe(0o600);
    });
  });

  it('finds data and holes, and nothing after the end', () => {
    const fd = keep(sys.openat(dir, 'sparse', O_CREAT | O_RDWR, 0o600));
    sys.ftruncate(fd, 1 << 20);
    sys.write(fd, Buffer.alloc(4096, 1), 1 << 19);
    expect(sys.seekSparse(fd, 0, 'data')).toBe(1 << 19);
    expect(sys.seekSparse(fd, 1 << 19, 'hole')).toBe((1 << 19) + 4096);
    expect(sys.seekSparse(fd, (1 << 19) + 4096, 'data')).toBeUndefined();
  });

  it('copies ranges in the kernel until the end', () => {
    const from = keep(sys.openat(dir, 'copy-from', O_CREAT | O_RDWR, 0o600));
    const to = keep(sys.openat(dir, 'copy-to', O_CREAT | O_RDWR, 0o600));
    sys.write(from, Buffer.alloc(10_000, 'z'), 0);
    let copied = 0;
    for (let count = -1; count !== 0; copied += count) count = sys.copyFileRange(from, to, 6_000);
    expect(copied).toBe(10_000);
    expect(readFileSync(join(base, 'copy-to'))).toEqual(Buffer.alloc(10_000, 'z'));
  });

  it('answers false where extents cannot be shared', () => {
    const from = keep(sys.openat(AT_FDCWD, '/dev/shm', constants.O_TMPFILE | O_RDWR, 0o600));
    const to = keep(sys.openat(dir, 'clone-to', O_CREAT | O_RDWR, 0o600));
    expect(sys.reflink(from, to)).toBe(false);
    expect(thrown(() => sys.reflink(999_999, to)).code).toBe('EBADF');
  });

  it('keeps a lock from other descriptors and other processes, and frees it when its holder is killed', async () => {
    const path = join(base, 'lock');
    const one = keep(sys.openat(dir, 'lock', O_CREAT | O_RDWR, 0o600));
    const two = keep(sys.openat(dir, 'lock', O_RDWR));
    expect(sys.flock(one, 'shared')).toBe(true);
    expect(sys.flock(two, 'shared')).toBe(true);
    expect(sys.flock(two, 'exclusive')).toBe(false);
    sys.flock(one, 'unlock');
    sys.flock(two, 'unlock');
    const holder = spawn('flock', ['-x', path, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    await once(holder.stdout, 'data');
    expect(sys.flock(one, 'exclusive')).toBe(false);
    if (holder.pid !== undefined) process.kill(-holder.pid, 'SIGKILL');
    await once(holder, 'close');
    expect(sys.flock(one, 'exclusive')).toBe(true);
    expect(() => execFileSync('flock', ['-n', path, 'true'])).toThrow();
  });

  it('syncs a file and its file system', () => {
    const fd = keep(sys.openat(AT_FDCWD, '/dev/shm', constants.O_TMPFILE | O_RDWR, 0o600));
    sys.fsync(fd);
    sys.syncfs(fd);
    expect(thrown(() => sys.fsync(999_999)).code).toBe('EBADF');
  });

  it('tells the kind and the free space of a file system', () => {
    const status = sys.statfs('/proc');
    expect(status.type).toBe(0x9fa0);
    const shm = sys.statfs('/dev/shm');
    expect(shm.type).toBe(0x01021994);
    expect(shm.blocks).toBeGreaterThan(0n);
    expect(shm.available).toBeLessThanOrEqual(shm.blocks);
    expect(shm.blockSize).toBe(4096);
  });

  asRoot('as root (needs CAP_MKNOD, CAP_CHOWN, CAP_SYS_ADMIN)', () => {
    it('makes whiteouts, devices with all bits of their numbers, and fifos', () => {
      sys.mknodat(dir, 'whiteout', S_IFCHR, 0, 0);
      expect(sys.statx(dir, 'whiteout', 0)).toMatchObject({ mode: S_IFCHR, specialMajor: 0, specialMinor: 0 });
      sys.mknodat(dir, 'device', constants.S_IFBLK | 0o600, 0xfff, 0xfffff);
      expect(sys.statx(dir, 'device', 0)).toMatchObject({ specialMajor: 0xfff, specialMinor: 0xfffff });
      sys.mknodat(dir, 'device2', constants.S_IFBLK | 0o600, 0x8a5, 0x13579);
      expect(sys.statx(dir, 'device2', 0)).toMatchObject({ specialMajor: 0x8a5, specialMinor: 0x13579 });
      sys.mknodat(dir, 'fifo', constants.S_IFIFO | 0o600, 0, 0);
      expect(statSync(join(base, 'fifo')).isFIFO()).toBe(true);
      for (const [major, minor] of [
        [0x1000, 0],
        [0, 0x100000],
        [-1, 0],
      ] as const) {
        expect(thrown(() => sys.mknodat(dir, 'truncated', S_IFCHR, major, minor)).code).toBe('EINVAL');
      }
    });

    it('gives ids over two million, to a symlink itself', () => {
      symlinkSync('status', join(base, 'owned'));
      sys.fchownat(dir, 'owned', 3_000_000_000, 2_097_152, AT_SYMLINK_NOFOLLOW);
      expect(sys.statx(dir, 'owned', AT_SYMLINK_NOFOLLOW)).toMatchObject({ uid: 3_000_000_000, gid: 2_097_152 });
    });

    it('keeps binary xattr values, empty ones, and says nothing for absent ones', () => {
      const path = join(base, 'xattrs');
      writeFileSync(path, '');
      const fd = keep(sys.openat(dir, 'xattrs', O_RDWR));
      const values: [string, Buffer][] = [
        ['user.empty', Buffer.alloc(0)],
        ['user.binary', Buffer.from([0, 255, 0, 10, 128])],
        ['trusted.overlay.opaque', Buffer.from('y')],
        ['user.long', Buffer.alloc(3000, 0xab)],
      ];
      for (const [name, value] of values) sys.setXattr(path, name, value);
      sys.fsetXattr(fd, Buffer.from('user.by-descriptor'), Buffer.from('1'));
      for (const [name, value] of values) {
        expect(sys.getXattr(path, name)).toEqual(value);
        expect(sys.fgetXattr(fd, name)).toEqual(value);
      }
      const names = sys.listXattrs(path).map(String).sort();
      expect(names).toEqual([...values.map(([name]) => name), 'user.by-descriptor'].sort());
      expect(sys.flistXattrs(fd).map(String).sort()).toEqual(names);
      sys.removeXattr(path, 'user.empty');
      expect(sys.getXattr(path, 'user.empty')).toBeUndefined();
      expect(thrown(() => sys.removeXattr(path, 'user.empty')).code).toBe('ENODATA');
      expect(thrown(() => sys.getXattr(join(base, 'gone'), 'user.x')).code).toBe('ENOENT');
    });

    it('lists more names than a small buffer holds', () => {
      const path = join('/dev/shm', `linux-calls-${process.pid}`);
      writeFileSync(path, '');
      try {
        const names = Array.from({ length: 60 }, (_, index) => `trusted.${'n'.repeat(60)}${index}`);
        for (const name of names) sys.setXattr(path, name, Buffer.alloc(5));
        sys.setXattr(path, 'trusted.large', Buffer.alloc(65536, 7));
        expect(sys.listXattrs(path).map(String).sort()).toEqual([...names, 'trusted.large'].sort());
        expect(sys.getXattr(path, 'trusted.large')).toEqual(Buffer.alloc(65536, 7));
      } finally {
        rmSync(path);
      }
    });

    it('reads and writes the attributes of a symlink, not of its target', () => {
      symlinkSync('xattrs', join(base, 'xattr-link'));
      sys.setXattr(join(base, 'xattr-link'), 'trusted.mine', Buffer.from('link'));
      expect(sys.listXattrs(join(base, 'xattr-link')).map(String)).toEqual(['trusted.mine']);
      expect(sys.getXattr(join(base, 'xattrs'), 'trusted.mine')).toBeUndefined();
    });

    it('lists no names where the file system has no xattrs', () => {
      expect(sys.listXattrs('/proc/self/mountinfo')).toEqual([]);
    });
  });
});
