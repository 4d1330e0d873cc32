/**
 * Project quotas: a limit on the blocks of a directory tree, as XFS keeps them, and ext4 with the feature `project`.
 *
 * Sources: quotactl(2) with linux/dqblk_xfs.h, and linux/fs.h for the project of a directory. No libc and no version of Node
 * has these, and kernels without CONFIG_XFS_QUOTA answer ENOSYS or EINVAL.
 */
import { closeSync, openSync } from 'node:fs';
import { loadLibc, type Libc } from './native/libc.js';
import { systemError } from './native/errno.js';

/** The calls that limits need. A test stands in for kernels that its machine does not have. */
export interface ProjectQuotaCalls {
  /**
   * True when the file system counts and enforces limits of projects.
   * @param device block device of the file system, or a node of it
   * @throws SystemError ENOTBLK, ENOSYS, EINVAL where there are no quotas
   */
  isEnforced(device: string): boolean;
  /** Greatest number of bytes that the files of a project may take; rounded down to blocks of 512. */
  setLimit(device: string, project: number, bytes: number): void;
  /** The project that a directory belongs to; 0 for none. */
  projectOf(directory: string): number;
  /** Gives an empty directory, and everything that will be made in it, to a project. */
  setProject(directory: string, project: number): void;
}

const PROJECT = 2;
const quotaCommand = (command: number): number => (0x5800 + command) * 0x100 + PROJECT;
const Q_XSETQLIM = quotaCommand(4);
const Q_XGETQSTAT = quotaCommand(5);
const ACCOUNTED = 0x10;
const ENFORCED = 0x20;

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_PROJINHERIT = 0x200;

let native: ProjectQuotaCalls | undefined;

/** The kernel itself. @throws StoreError ERR_UNSUPPORTED_PLATFORM, ERR_MISSING_PREREQUISITE */
export function nativeProjectQuotaCalls(): ProjectQuotaCalls {
  native ??= projectQuotaCalls(loadLibc());
  return native;
}

function projectQuotaCalls(libc: Libc): ProjectQuotaCalls {
  const quotactl = libc.bind('quotactl', 'int', ['int', 'void *', 'int', 'void *']);
  const ioctl = libc.bind('ioctl', 'int', ['int', 'long', 'void *']);

  const control = (command: number, device: string, project: number, record: Buffer): void => {
    if (quotactl(command, Buffer.from(`${device}\0`), project, record) < 0) throw libc.failure('quotactl', device);
  };
  const attributes = (directory: string, change?: (record: Buffer) => void): Buffer => {
    const record = Buffer.alloc(28);
    const fd = openSync(directory, 'r');
    try {
      if (ioctl(fd, FS_IOC_FSGETXATTR, record) < 0) throw libc.failure('ioctl', directory);
      change?.(record);
      if (change !== undefined && ioctl(fd, FS_IOC_FSSETXATTR, record) < 0) throw libc.failure('ioctl', directory);
    } finally {
      closeSync(fd);
    }
    return record;
  };

  return {
    isEnforced(device) {
      const state = Buffer.alloc(128);
      control(Q_XGETQSTAT, device, 0, state);
      const both = ACCOUNTED | ENFORCED;
      return (state.readUInt16LE(2) & both) === both;
    },

    setLimit(device, project, bytes) {
      control(Q_XSETQLIM, device, project, diskQuota(project, bytes));
    },

    projectOf: (directory) => attributes(directory).readUInt32LE(12),

    setProject(directory, project) {
      if (!Number.isInteger(project) || project < 0 || project > 0xffffffff) throw systemError(22, 'ioctl', directory);
      attributes(directory, (record) => {
        record.writeUInt32LE((record.readUInt32LE(0) | FS_XFLAG_PROJINHERIT) >>> 0, 0);
        record.writeUInt32LE(project, 12);
      });
    },
  };
}

/** `struct fs_disk_quota` with hard and soft limit of the blocks, and nothing else that shall be set. */
export function diskQuota(project: number, bytes: number): Buffer {
  const record = Buffer.alloc(112);
  const blocks = BigInt(Math.floor(bytes / 512));
  record.writeInt8(1, 0);
  record.writeInt8(2, 1);
  record.writeUInt16LE(0x4 | 0x8, 2);
  record.writeUInt32LE(project, 4);
  record.writeBigUInt64LE(blocks, 8);
  record.writeBigUInt64LE(blocks, 16);
  return record;
}
