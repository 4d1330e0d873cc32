import { randomInt } from 'node:crypto';
import { mkdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  AT_FDCWD,
  hasErrno,
  MNT_DETACH,
  mountFuse,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  UMOUNT_NOFOLLOW,
  type FuseAbilities,
  type Syscalls,
} from '@layerstore/linux';
import { mountSource, mountSubtype, type KeeperPaths } from './keeper-paths.js';

/** A mount with all that a server needs to serve it, whichever server that is. */
export interface HeldMount {
  readonly device: number;
  readonly abilities: FuseAbilities;
  readonly generation: number;
  /** Journals without a name, which go with their last descriptor. */
  readonly nodes: number;
  readonly backing: number;
}

/**
 * Mounts, in place of what a keeper left that was killed.
 * @throws StoreError as `mountFuse`
 */
export function holdMount(sys: Syscalls, paths: KeeperPaths, repository: string): HeldMount {
  detachMount(sys, paths);
  mkdirSync(paths.mount, { recursive: true, mode: 0o700 });
  const nodes = openJournal(sys, join(paths.directory, 'nodes'));
  const backing = openJournal(sys, join(paths.directory, 'backing'));
  const { device, abilities } = mountFuse(sys, {
    target: paths.mount,
    source: mountSource(repository),
    subtype: mountSubtype,
  });
  return { device, abilities, generation: randomInt(1, 2 ** 32), nodes, backing };
}

/** Takes the mount out of the directory tree; what stands on it keeps it. */
export function detachMount(sys: Syscalls, paths: KeeperPaths): void {
  for (;;) {
    try {
      sys.umount(paths.mount, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      // EINVAL: nothing is mounted there.
      if (hasErrno(error, 'EINVAL', 'ENOENT')) return;
      throw error;
    }
  }
}

function openJournal(sys: Syscalls, path: string): number {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
  const fd = sys.openat(AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0o600);
  unlinkSync(path);
  return fd;
}
