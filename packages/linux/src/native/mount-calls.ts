import { AT_EMPTY_PATH, MOUNT_ATTR_IDMAP, O_CLOEXEC } from '../constants.js';
import { AT_FDCWD, type FsConfig, type MountSyscalls, type PathBytes } from '../syscalls.js';
import { systemError } from './errno.js';
import type { Libc } from './libc.js';
import { TextParameter } from './text-parameter.js';

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** enum fsconfig_command (linux/mount.h). */
const COMMAND = { flag: 0, string: 1, fd: 5, create: 6, reconfigure: 7 } as const;

/** Mounts, namespaces, roots. Numbers of the new mount API: linux/unistd.h, the same on every architecture. */
export function mountCalls(libc: Libc): MountSyscalls {
  const mount = libc.bind('mount', 'int', ['void *', 'void *', 'void *', 'long', 'void *']);
  const umount2 = libc.bind('umount2', 'int', ['void *', 'int']);
  const umount2InBackground = libc.bindBackground('umount2', 'int', ['void *', 'int']);
  const openTree = libc.bindSyscall(428, ['long', 'void *', 'long']);
  const moveMount = libc.bindSyscall(429, ['long', 'void *', 'long', 'void *', 'long']);
  const fsopen = libc.bindSyscall(430, ['void *', 'long']);
  const fsconfig = libc.bindSyscall(431, ['long', 'long', 'void *', 'void *', 'long']);
  const fsmount = libc.bindSyscall(432, ['long', 'long', 'long']);
  const mountSetattr = libc.bindSyscall(442, ['long', 'void *', 'long', 'void *', 'long']);
  const read = libc.bind('read', 'long', ['int', 'void *', 'long']);
  const unshare = libc.bind('unshare', 'int', ['int']);
  const setns = libc.bind('setns', 'int', ['int', 'int']);
  const chroot = libc.bind('chroot', 'int', ['void *']);
  const pivotRoot = libc.bind('pivot_root', 'int', ['void *', 'void *']);
  const chdir = libc.bind('chdir', 'int', ['void *']);
  const sethostname = libc.bind('sethostname', 'int', ['void *', 'long']);

  const text = [new TextParameter(), new TextParameter(), new TextParameter(), new TextParameter()] as const;
  const attributeWords = new BigUint64Array(4);

  const check = (result: number, syscall: string, path?: PathBytes): number => {
    if (result < 0) throw libc.failure(syscall, path);
    return result;
  };

  const configure = (fd: number, config: FsConfig): number => {
    const command = COMMAND[config.command];
    const key = 'key' in config ? text[0].argument(config.key, 'fsconfig') : null;
    const value = config.command === 'string' ? text[1].argument(config.value, 'fsconfig') : null;
    return fsconfig(fd, command, key, value, config.command === 'fd' ? config.fd : 0);
  };

  return {
    mount(source, target, type, flags, data) {
      const result = mount(
        text[0].argument(source, 'mount'),
        text[1].argument(target, 'mount'),
        text[2].argument(type, 'mount'),
        flags,
        text[3].argument(data, 'mount'),
      );
      check(result, 'mount', target);
    },
    umount(target, flags) {
      check(umount2(text[0].argument(target, 'umount2'), flags), 'umount2', target);
    },
    async umountInBackground(target, flags) {
      const { result, errno } = await umount2InBackground(text[0].argument(target, 'umount2'), flags);
      if (result < 0) throw systemError(errno, 'umount2', target);
    },
    fsopen: (type) => check(fsopen(text[0].argument(type, 'fsopen'), FSOPEN_CLOEXEC), 'fsopen', type),
    fsconfig(fd, config) {
      check(configure(fd, config), 'fsconfig', 'key' in config ? config.key : config.command);
    },
    fsmount: (fd, attributes) => check(fsmount(fd, FSMOUNT_CLOEXEC, attributes), 'fsmount'),
    moveMount(fd, target) {
      const to = text[0].argument(target, 'move_mount');
      check(moveMount(fd, '', AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target);
    },
    openTree: (path, flags) =>
      check(openTree(AT_FDCWD, text[0].argument(path, 'open_tree'), flags | O_CLOEXEC), 'open_tree', path),
    mountSetattr(fd, path, flags, attributes) {
      const { userNamespace } = attributes;
      attributeWords[0] = BigInt(attributes.set | (userNamespace === undefined ? 0 : MOUNT_ATTR_IDMAP));
      attributeWords[1] = BigInt(attributes.clear);
      attributeWords[2] = BigInt(attributes.propagation);
      attributeWords[3] = BigInt(userNamespace ?? 0);
      const at = path.length === 0 ? flags | AT_EMPTY_PATH : flags;
      const name = text[0].argument(path, 'mount_setattr');
      check(mountSetattr(fd, name, at, attributeWords, attributeWords.byteLength), 'mount_setattr', path);
    },
    mountLog: (fd) => readLog(fd, read),
    unshare(flags) {
      check(unshare(flags), 'unshare');
    },
    setns(fd, type) {
      check(setns(fd, type), 'setns');
    },
    chroot(path) {
      check(chroot(text[0].argument(path, 'chroot')), 'chroot', path);
    },
    pivotRoot(newRoot, putOld) {
      const from = text[0].argument(newRoot, 'pivot_root');
      check(pivotRoot(from, text[1].argument(putOld, 'pivot_root')), 'pivot_root', newRoot);
    },
    chdir(path) {
      check(chdir(text[0].argument(path, 'chdir')), 'chdir', path);
    },
    sethostname(name) {
      const bytes = Buffer.from(name);
      check(sethostname(bytes, bytes.length), 'sethostname', name);
    },
  };
}

/** One read gives one message, `e `, `w ` or `i ` and text; ENODATA, or anything else, ends the list. */
function readLog(fd: number, read: (fd: number, into: Uint8Array, length: number) => number): string {
  const buffer = Buffer.alloc(4096);
  const lines: string[] = [];
  for (;;) {
    const length = read(fd, buffer, buffer.length);
    if (length <= 0) return lines.join('\n');
    lines.push(
      buffer
        .toString('utf8', 0, length)
        .trim()
        .replace(/^[ewi] /, ''),
    );
  }
}
