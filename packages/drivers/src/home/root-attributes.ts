import type { Owner } from '@layerstore/core';
import { nativeSyscalls, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '@layerstore/linux';

/**
 * Gives the root of a new layer the mode, owner, extended attributes and modification time of its parent's root. The
 * kernel shows the uppermost root as the root of a view: without this, an image whose root is 0555 would show 0755 in
 * every layer that does not mention the root.
 * @param map gives the owner
 */
export function copyRootAttributes(from: string, to: string, map: (owner: Owner) => Owner = unchanged): void {
  const sys = nativeSyscalls();
  const status = sys.statx(AT_FDCWD, from, AT_SYMLINK_NOFOLLOW);
  const { uid, gid } = map(status);
  sys.fchownat(AT_FDCWD, to, uid, gid, AT_SYMLINK_NOFOLLOW);
  for (const name of sys.listXattrs(from)) {
    const value = belongsToLayer(name) ? undefined : sys.getXattr(from, name);
    if (value !== undefined) sys.setXattr(to, name, value);
  }
  // After the owner: chown(2) takes setuid and setgid away.
  sys.fchmodat(AT_FDCWD, to, status.mode & 0o7777);
  sys.utimensat(AT_FDCWD, to, undefined, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
}

/** The overlay's marks say something about one layer, the SELinux label about one file. */
function belongsToLayer(name: Buffer): boolean {
  return /^(?:(?:trusted|user)\.overlay\.|user\.fuseoverlayfs\.|security\.selinux$)/.test(name.toString('latin1'));
}

function unchanged(owner: Owner): Owner {
  return owner;
}
