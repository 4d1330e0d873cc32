import { StoreError } from '@layerstore/core';
import { readFileSync } from 'node:fs';
import { hasErrno } from './native/errno.js';
import { nativeSyscalls } from './native-syscalls.js';
import type { Syscalls } from './syscalls.js';

/**
 * File systems by their statfs(2) number (linux/magic.h and the file systems' own headers), named as Docker reports
 * them.
 */
const fileSystemNames: ReadonlyMap<number, string> = new Map([
  [0x61756673, 'aufs'],
  [0x9123683e, 'btrfs'],
  [0x28cd3d45, 'cramfs'],
  [0xf15f, 'ecryptfs'],
  [0xe0f5e1e2, 'erofs'],
  [0x2011bab0, 'exfat'],
  [0xef53, 'extfs'],
  [0xf2f52010, 'f2fs'],
  [0x65735546, 'fuse'],
  [0x3153464a, 'jfs'],
  [0x4d44, 'msdos'],
  [0x6969, 'nfs'],
  [0x794c7630, 'overlayfs'],
  [0x9fa0, 'proc'],
  [0x858458f6, 'ramfs'],
  [0x73717368, 'squashfs'],
  [0xff534d42, 'cifs'],
  [0x62656572, 'sysfs'],
  [0x01021994, 'tmpfs'],
  [0x01021997, 'v9fs'],
  [0x58465342, 'xfs'],
  [0x2fc12fc1, 'zfs'],
]);

/** The file system that holds `path`; `name` is `0x...` for one that is not known. */
export function backingFileSystem(path: string, syscalls: Syscalls = nativeSyscalls()): { type: number; name: string } {
  const { type } = syscalls.statfs(path);
  return { type, name: fileSystemNames.get(type) ?? `0x${type.toString(16)}` };
}

/**
 * True when the kernel can mount file systems of this type: /proc/filesystems lists it, or the kernel finds its module
 * when asked (which needs root; without root only the list counts).
 */
export function kernelKnowsFileSystem(type: string, syscalls: Syscalls = nativeSyscalls()): boolean {
  const listed = readFileSync('/proc/filesystems', 'utf8').split('\n');
  if (listed.some((line) => line.split('\t')[1] === type)) return true;
  try {
    syscalls.close(syscalls.fsopen(type));
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENODEV', 'EPERM', 'ENOSYS')) return false;
    throw error;
  }
}

/** A random UUID that the kernel draws at every start: what is recorded with another one is from before. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/**
 * @param what the operation, as it begins an error message: `mounting a container`
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM, ERR_NEEDS_ROOT
 */
export function requireLinuxRoot(what: string): void {
  if (process.platform !== 'linux') {
    throw new StoreError('ERR_UNSUPPORTED_PLATFORM', `${what} needs Linux, this is ${process.platform}`);
  }
  if (process.geteuid?.() !== 0) {
    throw new StoreError('ERR_NEEDS_ROOT', `${what} needs root`, { hint: 'run the same command with sudo' });
  }
}
