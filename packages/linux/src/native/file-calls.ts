import { constants } from 'node:os';
import { O_CLOEXEC } from '../constants.js';
import type { FileSyscalls, PathBytes } from '../syscalls.js';
import { systemError } from './errno.js';
import type { Libc } from './libc.js';
import { STATX_BASIC_STATS, StatxBuffer } from './statx.js';
import { TextParameter } from './text-parameter.js';
import { TimesBuffer } from './timespec.js';

const { EAGAIN, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTSUP, ENOTTY, ENXIO, EXDEV } = constants.errno;

const FICLONE = 0x40049409;
const LOCK = { shared: 1 | 4, exclusive: 2 | 4, unlock: 8 } as const;
const SEEK = { data: 3, hole: 4 } as const;
const PATH_MAX = 4096;
const F_SETPIPE_SZ = 1031;
/** asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** openat2 answers EAGAIN when a rename elsewhere crosses a `..`; more than this in a row is an attack or a bug. */
const RESOLVE_ATTEMPTS = 64;
/** All calls but xattrs, which {@link xattrCalls} holds. */
type Calls = Omit<
  FileSyscalls,
  'getXattr' | 'setXattr' | 'removeXattr' | 'listXattrs' | 'fgetXattr' | 'fsetXattr' | 'flistXattrs'
>;

/** Files and directories. Interrupted calls need no loop: Node installs its signal handlers with SA_RESTART. */
export function fileCalls(libc: Libc): Calls {
  const openat = libc.bind('openat', 'int', ['int', 'void *', 'int', 'uint']);
  const openat2 = libc.bindSyscall(437, ['long', 'void *', 'void *', 'long']);
  const close = libc.bind('close', 'int', ['int']);
  const read = libc.bind('read', 'long', ['int', 'void *', 'long']);
  const pread = libc.bind('pread', 'long', ['int', 'void *', 'long', 'long']);
  const write = libc.bind('write', 'long', ['int', 'void *', 'long']);
  const pwrite = libc.bind('pwrite', 'long', ['int', 'void *', 'long', 'long']);
  const ftruncate = libc.bind('ftruncate', 'int', ['int', 'long']);
  const mkdirat = libc.bind('mkdirat', 'int', ['int', 'void *', 'uint']);
  const mknodat = libc.bind('mknodat', 'int', ['int', 'void *', 'uint', 'long']);
  const symlinkat = libc.bind('symlinkat', 'int', ['void *', 'int', 'void *']);
  const readlinkat = libc.bind('readlinkat', 'long', ['int', 'void *', 'void *', 'long']);
  const linkat = libc.bind('linkat', 'int', ['int', 'void *', 'int', 'void *', 'int']);
  const renameat = libc.bind('renameat', 'int', ['int', 'void *', 'int', 'void *']);
  const renameat2 = libc.bind('renameat2', 'int', ['int', 'void *', 'int', 'void *', 'uint']);
  const unlinkat = libc.bind('unlinkat', 'int', ['int', 'void *', 'int']);
  const statx = libc.bind('statx', 'int', ['int', 'void *', 'int', 'uint', 'void *']);
  const fchownat = libc.bind('fchownat', 'int', ['int', 'void *', 'uint', 'uint', 'int']);
  const fchmodat = libc.bind('fchmodat', 'int', ['int', 'void *', 'uint', 'int']);
  const fchmod = libc.bind('fchmod', 'int', ['int', 'uint']);
  const utimensat = libc.bind('utimensat', 'int', ['int', 'void *', 'void *', 'int']);
  const futimens = libc.bind('futimens', 'int', ['int', 'void *']);
  const fsync = libc.bind('fsync', 'int', ['int']);
  const syncfs = libc.bind('syncfs', 'int', ['int']);
  const flock = libc.bind('flock', 'int', ['int', 'int']);
  const ioctl = libc.bind('ioctl', 'int', ['int', 'long', 'long']);
  const copyFileRange = libc.bind('copy_file_range', 'long', ['int', 'void *', 'int', 'void *', 'long', 'uint']);
  const lseek = libc.bind('lseek', 'long', ['int', 'long', 'int']);
  const statfs = libc.bind('statfs', 'int', ['void *', 'void *']);
  const pipe2 = libc.bind('pipe2', 'int', ['void *', 'int']);
  const fcntl = libc.bind('fcntl', 'int', ['int', 'int', 'long']);
  const getsockopt = libc.bind('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);

  const first = new TextParameter();
  const second = new TextParameter();
  const link = Buffer.alloc(PATH_MAX);
  const how = new BigUint64Array(3);
  const status = new StatxBuffer();
  const times = new TimesBuffer();
  const fileSystem = new BigUint64Array(32);

  const check = (result: number, syscall: string, path?: PathBytes): void => {
    if (result < 0) throw libc.failure(syscall, path);
  };

  return {
    openat(directory, path, flags, mode = 0) {
      // Without O_CLOEXEC every spawned program would inherit the descriptor, and with it our locks and mounts.
      const fd = openat(directory, first.argument(path, 'openat'), flags | O_CLOEXEC, mode);
      check(fd, 'openat', path);
      return fd;
    },

    openat2(directory, path, options) {
      const name = first.argument(path, 'openat2');
      how[0] = BigInt(options.flags | O_CLOEXEC);
      how[1] = BigInt(options.mode ?? 0);
      how[2] = BigInt(options.resolve);
      for (let attempt = 1; ; attempt++) {
        const fd = openat2(directory, name, how, how.byteLength);
        if (fd >= 0) return fd;
        if (libc.errno() !== EAGAIN || attempt === RESOLVE_ATTEMPTS) throw libc.failure('openat2', path);
      }
    },

    close(fd) {
      check(close(fd), 'close');
    },

    read(fd, into, position) {
      const count = position === undefined ? read(fd, into, into.length) : pread(fd, into, into.length, position);
      check(count, 'read');
      return count;
    },

    write(fd, data, position) {
      let done = 0;
      while (done < data.length) {
        const rest = done === 0 ? data : data.subarray(done);
        const count =
          position === undefined ? write(fd, rest, rest.length) : pwrite(fd, rest, rest.length, position + done);
        check(count, 'write');
        done += count;
      }
    },

    ftruncate(fd, size) {
      check(ftruncate(fd, size), 'ftruncate');
    },

    mkdirat(directory, path, mode) {
      check(mkdirat(directory, first.argument(path, 'mkdirat'), mode), 'mkdirat', path);
    },

    mknodat(directory, path, mode, major, minor) {
      // The kernel takes 12 + 20 bits and drops the others: another device than the one asked for.
      if (!(major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff)) {
        throw systemError(EINVAL, 'mknodat', path);
      }
      const device = (minor & 0xff) + major * 0x100 + (minor >>> 8) * 0x100000;
      check(mknodat(directory, first.argument(path, 'mknodat'), mode, device), 'mknodat', path);
    },

    symlinkat(target, directory, path) {
      const result = symlinkat(first.argument(target, 'symlinkat'), directory, second.argument(path, 'symlinkat'));
      check(result, 'symlinkat', path);
    },

    readlinkat(directory, path) {
      const length = readlinkat(directory, first.argument(path, 'readlinkat'), link, link.length);
      check(length, 'readlinkat', path);
      // A target that fills the buffer may have been cut.
      if (length === link.length) throw systemError(ENAMETOOLONG, 'readlinkat', path);
      return Buffer.from(link.subarray(0, length));
    },

    linkat(fromDirectory, from, toDirectory, to, flags) {
      const source = first.argument(from, 'linkat');
      check(linkat(fromDirectory, source, toDirectory, second.argument(to, 'linkat'), flags), 'linkat', to);
    },

    renameat2(fromDirectory, from, toDirectory, to, flags) {
      const source = first.argument(from, 'renameat2');
      const target = second.argument(to, 'renameat2');
      const result =
        flags === 0
          ? renameat(fromDirectory, source, toDirectory, target)
          : renameat2(fromDirectory, source, toDirectory, target, flags);
      check(result, 'renameat2', from);
    },

    unlinkat(directory, path, flags) {
      check(unlinkat(directory, first.argument(path, 'unlinkat'), flags), 'unlinkat', path);
    },

    statx(directory, path, flags) {
      const name = first.argument(path, 'statx');
      check(statx(directory, name, flags, STATX_BASIC_STATS, status.bytes), 'statx', path);
      return status.status();
    },

    statxIfPresent(directory, path, flags) {
      const name = first.argument(path, 'statx');
      if (statx(directory, name, flags, STATX_BASIC_STATS, status.bytes) === 0) return status.status();
      const errno = libc.errno();
      if (errno === ENOENT || errno === ENOTDIR) return undefined;
      throw libc.failure('statx', path);
    },

    fchownat(directory, path, uid, gid, flags) {
      check(fchownat(directory, first.argument(path, 'fchownat'), uid, gid, flags), 'fchownat', path);
    },

    fchmodat(directory, path, mode) {
      check(fchmodat(directory, first.argument(path, 'fchmodat'), mode, 0), 'fchmodat', path);
    },

    fchmod(fd, mode) {
      check(fchmod(fd, mode), 'fchmod');
    },

    utimensat(directory, path, accessedNs, modifiedNs, flags) {
      times.set(accessedNs, modifiedNs);
      check(utimensat(directory, first.argument(path, 'utimensat'), times.words, flags), 'utimensat', path);
    },

    futimens(fd, accessedNs, modifiedNs) {
      times.set(accessedNs, modifiedNs);
      check(futimens(fd, times.words), 'futimens');
    },

    fsync(fd) {
      check(fsync(fd), 'fsync');
    },

    syncfs(fd) {
      check(syncfs(fd), 'syncfs');
    },

    flock(fd, operation) {
      if (flock(fd, LOCK[operation]) === 0) return true;
      if (libc.errno() === EAGAIN) return false;
      throw libc.failure('flock');
    },

    reflink(from, to) {
      if (ioctl(to, FICLONE, from) === 0) return true;
      if ([ENOTSUP, EXDEV, EINVAL, ENOTTY].includes(libc.errno())) return false;
      throw libc.failure('ioctl FICLONE');
    },

    copyFileRange(from, to, length) {
      const count = copyFileRange(from, null, to, null, length, 0);
      check(count, 'copy_file_range');
      return count;
    },

    seekSparse(fd, offset, whence) {
      const found = lseek(fd, offset, SEEK[whence]);
      if (found >= 0) return found;
      if (libc.errno() === ENXIO) return undefined;
      throw libc.failure('lseek');
    },

    statfs(path) {
      check(statfs(first.argument(path, 'statfs'), fileSystem), 'statfs', path);
      // struct statfs of the 64-bit generic layout: f_type, f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree.
      const word = (index: number): bigint => fileSystem[index] ?? 0n;
      return {
        type: Number(word(0)),
        blockSize: Number(word(1)),
        blocks: word(2),
        available: word(4),
        freeInodes: word(6),
      };
    },

    pipe(capacity) {
      const ends = new Uint32Array(2);
      check(pipe2(bytesOf(ends), O_CLOEXEC), 'pipe2');
      const [readEnd = -1, writeEnd = -1] = ends;
      // Beyond the system's limit for pipes (pipe-max-size) it stays as it is.
      fcntl(writeEnd, F_SETPIPE_SZ, capacity);
      return { readEnd, writeEnd };
    },

    peerProcess(fd) {
      // struct ucred: pid_t, uid_t, gid_t.
      const credentials = new Uint32Array(3);
      const length = new Uint32Array([credentials.byteLength]);
      check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, bytesOf(credentials), bytesOf(length)), 'getsockopt');
      const [pid = 0, uid = 0, gid = 0] = credentials;
      return { pid, uid, gid };
    },
  };
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
