import { fromSystemError, StoreError } from '@layerstore/core';
import { MS_NODEV, MS_NOSUID, MS_RDONLY, O_RDWR } from '../constants.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';
import { answerInit, type FuseAbilities } from './handshake.js';
import { MAX_READ_BYTES } from './protocol.js';

const devicePath = '/dev/fuse';

export interface FuseMountOptions {
  /** An existing directory. */
  readonly target: string;
  /** What the mount table names as source. */
  readonly source: string;
  /** Ends the type in the mount table: `fuse.<subtype>`. */
  readonly subtype: string;
}

export interface FuseMount {
  /**
   * The connection, which lives as long as one of its descriptors is open. Not to be read: requests are read from clones
   * of it ({@link openFuseQueue}), whose closing fails what was read from them and not answered.
   */
  readonly device: number;
  readonly abilities: FuseAbilities;
}

/**
 * Mounts a read-only FUSE file system, for all users, with permissions checked by the kernel, and agrees on the protocol.
 * Whoever reads it waits until {@link openFuseQueue} is served.
 * @throws StoreError ERR_MISSING_PREREQUISITE when the kernel has no FUSE, or one before Linux 5.4
 * @throws StoreError ERR_MOUNT_FAILED
 */
export function mountFuse(sys: Syscalls, { target, source, subtype }: FuseMountOptions): FuseMount {
  const device = openDevice(sys);
  try {
    const flags = MS_RDONLY | MS_NODEV | MS_NOSUID;
    const rights = 'rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions';
    try {
      sys.mount(source, target, `fuse.${subtype}`, flags, `fd=${device},${rights},max_read=${MAX_READ_BYTES}`);
    } catch (cause) {
      const { message } = fromSystemError(cause);
      throw new StoreError('ERR_MOUNT_FAILED', `cannot be mounted: ${message}`, { subject: target, cause });
    }
    return { device, abilities: answerInit(sys, device) };
  } catch (error) {
    // The connection ends with its last descriptor; what was mounted then answers ENOTCONN and is taken away.
    sys.close(device);
    if (!(StoreError.is(error) && error.code === 'ERR_MOUNT_FAILED')) sys.umount(target, 0);
    throw error;
  }
}

/**
 * Opens a queue of its own into a connection: a thread reads requests from it and writes their answers to it. When it is
 * closed, by kill -9 as well, readers whose requests were read from it get ECONNABORTED.
 */
export function openFuseQueue(sys: Syscalls, device: number): number {
  const queue = openDevice(sys);
  try {
    sys.cloneFuseDevice(device, queue);
    return queue;
  } catch (error) {
    sys.close(queue);
    throw error;
  }
}

function openDevice(sys: Syscalls): number {
  try {
    return sys.openat(AT_FDCWD, devicePath, O_RDWR);
  } catch (cause) {
    if (!hasErrno(cause, 'ENOENT', 'ENODEV', 'ENXIO')) throw fromSystemError(cause, devicePath);
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no FUSE', {
      subject: devicePath,
      hint: 'try: modprobe fuse',
      cause,
    });
  }
}
