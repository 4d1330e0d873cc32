import { constants } from 'node:os';
import type { FileSyscalls, PathBytes } from '../syscalls.js';
import type { Libc, NativeFunction } from './libc.js';
import { TextParameter } from './text-parameter.js';

const { ENODATA, ENOTSUP, ERANGE } = constants.errno;

/** Values and name lists are at most this long (XATTR_SIZE_MAX and XATTR_LIST_MAX, linux/limits.h). */
const LARGEST = 65536;
/** The kernel clears a buffer of the size that is offered on every call, so a small one is tried first. */
const USUAL = 1024;

type Calls = Pick<
  FileSyscalls,
  'getXattr' | 'setXattr' | 'removeXattr' | 'listXattrs' | 'fgetXattr' | 'fsetXattr' | 'flistXattrs'
>;

/** Extended attributes. The `l` forms act on a symlink itself, which only takes `trusted.` and `security.` names. */
export function xattrCalls(libc: Libc): Calls {
  const lgetxattr = libc.bind('lgetxattr', 'long', ['void *', 'void *', 'void *', 'long']);
  const fgetxattr = libc.bind('fgetxattr', 'long', ['int', 'void *', 'void *', 'long']);
  const lsetxattr = libc.bind('lsetxattr', 'int', ['void *', 'void *', 'void *', 'long', 'int']);
  const fsetxattr = libc.bind('fsetxattr', 'int', ['int', 'void *', 'void *', 'long', 'int']);
  const lremovexattr = libc.bind('lremovexattr', 'int', ['void *', 'void *']);
  const llistxattr = libc.bind('llistxattr', 'long', ['void *', 'void *', 'long']);
  const flistxattr = libc.bind('flistxattr', 'long', ['int', 'void *', 'long']);

  const first = new TextParameter();
  const second = new TextParameter();
  const buffer = Buffer.alloc(LARGEST);

  const get = (
    call: NativeFunction,
    syscall: string,
    file: string | Uint8Array | number,
    name: PathBytes,
    path?: PathBytes,
  ): Buffer | undefined => {
    const argument = second.argument(name, syscall);
    let length = call(file, argument, buffer, USUAL);
    if (length < 0 && libc.errno() === ERANGE) length = call(file, argument, buffer, LARGEST);
    if (length >= 0) return Buffer.from(buffer.subarray(0, length));
    if (libc.errno() === ENODATA) return undefined;
    throw libc.failure(syscall, path);
  };

  const list = (
    call: NativeFunction,
    syscall: string,
    file: string | Uint8Array | number,
    path?: PathBytes,
  ): Buffer[] => {
    let length = call(file, buffer, USUAL);
    if (length < 0 && libc.errno() === ERANGE) length = call(file, buffer, LARGEST);
    if (length >= 0) return splitNames(Buffer.from(buffer.subarray(0, length)));
    if (libc.errno() === ENOTSUP) return [];
    throw libc.failure(syscall, path);
  };

  const check = (result: number, syscall: string, path?: PathBytes): void => {
    if (result < 0) throw libc.failure(syscall, path);
  };

  return {
    getXattr: (path, name) => get(lgetxattr, 'lgetxattr', first.argument(path, 'lgetxattr'), name, path),
    fgetXattr: (fd, name) => get(fgetxattr, 'fgetxattr', fd, name),
    setXattr(path, name, value) {
      const file = first.argument(path, 'lsetxattr');
      check(lsetxattr(file, second.argument(name, 'lsetxattr'), value, value.length, 0), 'lsetxattr', path);
    },
    fsetXattr(fd, name, value) {
      check(fsetxattr(fd, second.argument(name, 'fsetxattr'), value, value.length, 0), 'fsetxattr');
    },
    removeXattr(path, name) {
      const file = first.argument(path, 'lremovexattr');
      check(lremovexattr(file, second.argument(name, 'lremovexattr')), 'lremovexattr', path);
    },
    listXattrs: (path) => list(llistxattr, 'llistxattr', first.argument(path, 'llistxattr'), path),
    flistXattrs: (fd) => list(flistxattr, 'flistxattr', fd),
  };
}

/** A name list is every name followed by NUL. */
function splitNames(list: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < list.length;) {
    const end = list.indexOf(0, start);
    names.push(list.subarray(start, end));
    start = end + 1;
  }
  return names;
}
