/**
 * Building the surroundings of a program in a root directory: a mount namespace that holds the root, /proc, /sys and a
 * small /dev, and nothing of the host.
 *
 * The root is hostile: its `/dev` may be a symlink to the host's `/etc`. So every mount point is resolved inside the
 * root (openat2, RESOLVE_IN_ROOT) and passed on as a descriptor.
 */
import { StoreError } from '@layerstore/core';
import { existsSync } from 'node:fs';
import {
  CLONE_NEWNS,
  CLONE_NEWUTS,
  MNT_DETACH,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '../constants.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/** Names below /dev that point elsewhere, as `man 4 fd` and `man 4 pts` have them. */
const deviceLinks: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
];

/**
 * Moves the calling thread into `root`, in namespaces of its own. Nothing that it mounts is seen outside, and all of it
 * goes with the last process inside. A mount point that the root lacks is left out.
 */
export function enterRoot(sys: Syscalls, root: string, hostname?: string): void {
  sys.unshare(CLONE_NEWNS | (hostname === undefined ? 0 : CLONE_NEWUTS));
  if (hostname !== undefined) sys.sethostname(hostname);
  sys.mount('', '/', '', MS_REC | MS_PRIVATE, '');
  // pivot_root wants a mount point; recursive, so that what is mounted in the view is there.
  sys.mount(root, root, '', MS_BIND | MS_REC, '');
  const directory = sys.openat(AT_FDCWD, root, O_PATH | O_DIRECTORY);
  try {
    const inside = new InsideRoot(sys, directory);
    inside.mount('proc', 'proc', MS_NOSUID | MS_NODEV | MS_NOEXEC, '');
    inside.mount('sys', 'sysfs', MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, '');
    if (inside.mount('dev', 'tmpfs', MS_NOSUID, 'mode=755,size=64k')) fillDevices(sys, inside);
    showResolverConfiguration(sys, inside);
  } finally {
    sys.close(directory);
  }
  switchRoot(sys, root);
}

class InsideRoot {
  constructor(
    private readonly sys: Syscalls,
    private readonly root: number,
  ) {}

  /** `undefined` when the root has no such thing. The descriptor shows what is mounted there at this moment. */
  open(path: string, flags: number): number | undefined {
    try {
      return this.sys.openat2(this.root, path, { flags, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
      throw error;
    }
  }

  /** False when the root has no such directory. */
  mount(path: string, type: string, flags: number, data: string): boolean {
    try {
      return this.on(path, O_PATH | O_DIRECTORY, (target) => this.sys.mount(type, target, type, flags, data));
    } catch (error) {
      // The root came with it mounted there: a whole system's `/`.
      if (hasErrno(error, 'EBUSY')) return true;
      throw new StoreError('ERR_MOUNT_FAILED', `${type} cannot be mounted in the root`, {
        subject: `/${path}`,
        cause: error,
      });
    }
  }

  on(path: string, flags: number, use: (target: string) => void): boolean {
    const fd = this.open(path, flags);
    if (fd === undefined) return false;
    try {
      use(`/proc/self/fd/${fd}`);
      return true;
    } finally {
      this.sys.close(fd);
    }
  }
}

function fillDevices(sys: Syscalls, inside: InsideRoot): void {
  const directory = inside.open('dev', O_PATH | O_DIRECTORY);
  if (directory === undefined) return;
  try {
    for (const name of devices) {
      if (!existsSync(`/dev/${name}`)) continue;
      sys.close(sys.openat(directory, name, O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
      inside.on(`dev/${name}`, O_PATH, (target) => sys.mount(`/dev/${name}`, target, '', MS_BIND, ''));
    }
    for (const [name, target] of deviceLinks) sys.symlinkat(target, directory, name);
    for (const name of ['pts', 'shm']) sys.mkdirat(directory, name, 0o755);
  } finally {
    sys.close(directory);
  }
  // gid 5 is the tty group wherever there is one; programs like `script` look for it.
  inside.mount('dev/pts', 'devpts', MS_NOSUID | MS_NOEXEC, 'newinstance,ptmxmode=0666,mode=0620,gid=5');
  inside.mount('dev/shm', 'tmpfs', MS_NOSUID | MS_NODEV | MS_NOEXEC, 'mode=1777');
}

/** The host's resolv.conf over the root's own: the network is the host's. */
function showResolverConfiguration(sys: Syscalls, inside: InsideRoot): void {
  const source = '/etc/resolv.conf';
  if (!existsSync(source)) return;
  const bound = inside.on('etc/resolv.conf', O_PATH, (target) => sys.mount(source, target, '', MS_BIND, ''));
  if (!bound) return;
  // A new descriptor: the first one still shows the file below the mount.
  inside.on('etc/resolv.conf', O_PATH, (target) => sys.mount('', target, '', MS_BIND | MS_REMOUNT | MS_RDONLY, ''));
}

/**
 * Makes `root` the root and drops all other mounts: a copy of somebody's overlay that stayed here would keep its upper
 * directory in use after they have unmounted it.
 */
function switchRoot(sys: Syscalls, root: string): void {
  sys.chdir(root);
  try {
    sys.pivotRoot('.', '.');
    sys.umount('.', MNT_DETACH);
  } catch (error) {
    // A system that runs from its initial ramfs cannot pivot (pivot_root(2)).
    if (!hasErrno(error, 'EINVAL')) throw error;
    sys.chroot('.');
  }
  sys.chdir('/');
}
