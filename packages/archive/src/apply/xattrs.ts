/**
 * Extended attributes of members.
 *
 * Names of the overlay's own namespaces never come in: `trusted.overlay.redirect` or `.metacopy` in an archive would
 * make the kernel show content of another place, `.whiteout` and `.opaque` would hide lower layers
 * (Documentation/filesystems/overlayfs.rst); `user.fuseoverlayfs.` says the same to fuse-overlayfs, and mode and owner.
 */
import { StoreError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import type { Xattr } from '../tar/entry.js';
import { nameText } from './member-name.js';

const OVERLAY_NAMESPACES = ['trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.'] as const;
const LINUX_NAMESPACES = ['user.', 'trusted.', 'security.', 'system.'] as const;
/** Its value decides the permission bits, so they are set after it. */
export const ACCESS_ACL = 'system.posix_acl_access';
/** New entries of a directory inherit it. */
export const DEFAULT_ACL = 'system.posix_acl_default';

export interface XattrTarget {
  /** Symlinks, devices and fifos: the kernel gives them no `user.` attributes (xattr(7)). */
  readonly special: boolean;
  set(name: Buffer, value: Buffer): void;
}

/** True for names that only the overlay itself may write. */
export function isOverlayXattr(name: Buffer): boolean {
  const text = name.toString('latin1');
  return OVERLAY_NAMESPACES.some((namespace) => text.startsWith(namespace));
}

/**
 * Sets what the archive gives, in its order. Returns how many the file system cannot hold: those of `user.` and
 * `security.selinux`, and names of other systems' namespaces (`com.apple.`); the rest must be kept.
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MALFORMED_ARCHIVE, ERR_LIMIT_EXCEEDED, ERR_NO_SPACE
 */
export function setXattrs(xattrs: readonly Xattr[], target: XattrTarget): number {
  let unsupported = 0;
  for (const { name, value } of xattrs) {
    if (isOverlayXattr(name)) continue;
    if (!isLinuxName(name)) unsupported++;
    else if (!setXattr(name, value, target)) unsupported++;
  }
  return unsupported;
}

function isLinuxName(name: Buffer): boolean {
  const text = name.toString('latin1');
  return LINUX_NAMESPACES.some((namespace) => text.length > namespace.length && text.startsWith(namespace));
}

function setXattr(name: Buffer, value: Buffer, target: XattrTarget): boolean {
  const text = nameText(name);
  const fail = (cause: unknown, code: 'ERR_MALFORMED_ARCHIVE' | 'ERR_LIMIT_EXCEEDED', reason: string): StoreError =>
    new StoreError(code, `the extended attribute ${text} ${reason}`, { cause });
  if (name.includes(0)) throw fail(undefined, 'ERR_MALFORMED_ARCHIVE', 'holds NUL in its name');
  try {
    target.set(name, value);
    return true;
  } catch (error) {
    if (target.special && text.startsWith('user.') && hasErrno(error, 'EPERM')) return false;
    if (hasErrno(error, 'ENOTSUP', 'EOPNOTSUPP')) {
      if (text.startsWith('user.') || text === 'security.selinux') return false;
      throw new StoreError(
        'ERR_INCOMPATIBLE_FILE_SYSTEM',
        `the file system does not take the extended attribute ${text}`,
        {
          hint: 'put the store on ext4, xfs or btrfs',
          cause: error,
        },
      );
    }
    if (hasErrno(error, 'EINVAL')) throw fail(error, 'ERR_MALFORMED_ARCHIVE', 'has a value that the kernel refuses');
    if (hasErrno(error, 'E2BIG', 'ERANGE')) throw fail(error, 'ERR_LIMIT_EXCEEDED', 'is too long for the kernel');
    if (hasErrno(error, 'ENOSPC', 'EDQUOT')) {
      throw new StoreError('ERR_NO_SPACE', `no room for the extended attribute ${text}`, {
        hint: 'ext4 keeps all attributes of a file in one block unless it was made with the feature ea_inode',
        cause: error,
      });
    }
    throw error;
  }
}
