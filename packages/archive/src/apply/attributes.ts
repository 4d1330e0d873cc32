/**
 * Owner, extended attributes, mode and times of what was made, in the one order that keeps them: chown(2) drops
 * set-user-ID, set-group-ID and file capabilities, an access ACL rewrites the group bits, and every change but utimes
 * is a change of time.
 */
import { readFileSync } from 'node:fs';
import { StoreError, toHost, type IdMaps, type Owner } from '@layerstore/core';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, hasErrno, type FileSyscalls } from '@layerstore/linux';
import type { TarEntry, Xattr } from '../tar/entry.js';
import { ACCESS_ACL, DEFAULT_ACL, isOverlayXattr, setXattrs } from './xattrs.js';

export interface EntryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly accessedNs: bigint;
  readonly modifiedNs: bigint;
  readonly xattrs: readonly Xattr[];
}

/** What a directory gets that no archive describes. */
export const IMPLIED_MODE = 0o755;

/** Bits that open, mkdir and mknod do not set as they are given. */
const SPECIAL_BITS = 0o7000;
/** chown(2) takes -1 as "leave it", so this id cannot be given to a file. */
const NO_ID = 0xffffffff;

const accessAcl = Buffer.from(ACCESS_ACL);
const defaultAcl = Buffer.from(DEFAULT_ACL);

/** The attributes of a member, without its name and content. */
export function attributesOf(entry: TarEntry): EntryAttributes {
  const { mode, uid, gid, modifiedNs, xattrs } = entry;
  return { mode, uid, gid, modifiedNs, accessedNs: entry.accessedNs ?? modifiedNs, xattrs };
}

/** @throws StoreError ERR_MALFORMED_ARCHIVE */
export function checkOwner(entry: TarEntry): void {
  if (isId(entry.uid) && isId(entry.gid)) return;
  throw new StoreError('ERR_MALFORMED_ARCHIVE', `the owner ${entry.uid}:${entry.gid} is not possible`);
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < NO_ID;
}

export class AttributeWriter {
  /** Extended attributes that the file system could not hold, see {@link setXattrs}. */
  unsupportedXattrs = 0;
  readonly #syscalls: FileSyscalls;
  readonly #umask: number;
  readonly #idMaps: IdMaps | undefined;
  readonly #uid = process.geteuid?.() ?? -1;
  readonly #gid = process.getegid?.() ?? -1;

  /** @param idMaps owners of members are those of the container, files get those of the host */
  constructor(syscalls: FileSyscalls, idMaps?: IdMaps) {
    this.#syscalls = syscalls;
    this.#idMaps = idMaps;
    this.#umask = readUmask();
  }

  /** For an open regular file that was created with `mode & 0o777`. @param inherits its directory gives it its group */
  finishFile(fd: number, entry: TarEntry, inherits: boolean): void {
    const syscalls = this.#syscalls;
    const { uid, gid } = toHost(this.#idMaps, entry);
    if (this.#mustChown({ uid, gid }, inherits)) syscalls.fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
    if (entry.xattrs.length > 0) this.#setOpen(fd, entry.xattrs);
    if (this.#mustChmod(entry, inherits)) syscalls.fchmod(fd, entry.mode);
    syscalls.futimens(fd, entry.accessedNs ?? entry.modifiedNs, entry.modifiedNs);
  }

  /** For a symlink, device or fifo, named in an open directory. */
  finishNode(directory: number, name: Buffer, entry: TarEntry, inherits: boolean): void {
    const syscalls = this.#syscalls;
    const { uid, gid } = toHost(this.#idMaps, entry);
    if (this.#mustChown({ uid, gid }, inherits)) syscalls.fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
    if (entry.xattrs.length > 0) {
      const path = Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
      this.unsupportedXattrs += setXattrs(entry.xattrs, {
        special: true,
        set: (key, value) => syscalls.setXattr(path, key, value),
      });
    }
    if (entry.type !== 'symlink' && this.#mustChmod(entry, inherits)) syscalls.fchmodat(directory, name, entry.mode);
    syscalls.utimensat(directory, name, entry.accessedNs ?? entry.modifiedNs, entry.modifiedNs, AT_SYMLINK_NOFOLLOW);
  }

  /** For an open directory. */
  finishDirectory(
    fd: number,
    attributes: EntryAttributes,
    directory: { madeMode: number | undefined; inheritsGroup: boolean },
  ): void {
    const syscalls = this.#syscalls;
    const { madeMode, inheritsGroup } = directory;
    const found = madeMode === undefined;
    const { uid, gid } = toHost(this.#idMaps, attributes);
    if (found || this.#mustChown({ uid, gid }, inheritsGroup)) syscalls.fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
    if (found) this.#clearXattrs(fd, attributes.xattrs);
    if (attributes.xattrs.length > 0) this.#setOpen(fd, attributes.xattrs);
    if (attributes.mode !== madeMode || this.#mustChmod(attributes, inheritsGroup))
      syscalls.fchmod(fd, attributes.mode);
    syscalls.futimens(fd, attributes.accessedNs, attributes.modifiedNs);
  }

  setTimes(fd: number, accessedNs: bigint, modifiedNs: bigint): void {
    this.#syscalls.futimens(fd, accessedNs, modifiedNs);
  }

  /** Takes the default ACL off a directory, so that nothing made in it inherits it; returns its value. */
  takeDefaultAcl(fd: number): Buffer | undefined {
    const value = this.#readDefaultAcl(fd);
    if (value !== undefined) this.#syscalls.removeXattr(`/proc/self/fd/${fd}/.`, defaultAcl);
    return value;
  }

  restoreDefaultAcl(fd: number, value: Buffer): void {
    this.#syscalls.fsetXattr(fd, defaultAcl, value);
  }

  #readDefaultAcl(fd: number): Buffer | undefined {
    try {
      return this.#syscalls.fgetXattr(fd, defaultAcl);
    } catch (error) {
      if (hasErrno(error, 'ENOTSUP')) return undefined;
      throw error;
    }
  }

  #mustChown(owner: Owner, inherits: boolean): boolean {
    return inherits || owner.uid !== this.#uid || owner.gid !== this.#gid;
  }

  #mustChmod(entry: { readonly mode: number; readonly xattrs: readonly Xattr[] }, inherits: boolean): boolean {
    if (inherits || (entry.mode & (SPECIAL_BITS | this.#umask)) !== 0) return true;
    return entry.xattrs.some((xattr) => xattr.name.equals(accessAcl));
  }

  #setOpen(fd: number, xattrs: readonly Xattr[]): void {
    this.unsupportedXattrs += setXattrs(xattrs, {
      special: false,
      set: (name, value) => this.#syscalls.fsetXattr(fd, name, value),
    });
  }

  /** Removes what the archive does not give; the label belongs to the system, the overlay's marks to the layer. */
  #clearXattrs(fd: number, kept: readonly Xattr[]): void {
    for (const name of this.#syscalls.flistXattrs(fd)) {
      if (isOverlayXattr(name) || name.toString('latin1') === 'security.selinux') continue;
      if (!kept.some((xattr) => xattr.name.equals(name))) this.#syscalls.removeXattr(`/proc/self/fd/${fd}/.`, name);
    }
  }
}

/** The umask of this thread; it cannot be set here (it belongs to the process), so modes that it would cut are set again. */
function readUmask(): number {
  const line = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'));
  return line?.[1] === undefined ? 0o777 : Number.parseInt(line[1], 8);
}
