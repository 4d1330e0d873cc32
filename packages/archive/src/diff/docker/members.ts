/** One entry of a tree as Docker puts it into a tar. */
import { toContainer, type IdMaps } from '@layerstore/core';
import { nativeSyscalls, type FileStatus } from '@layerstore/linux';
import type { ByteSource } from '../../byte-source.js';
import { wholeSeconds } from '../../tar/numbers.js';
import { fileKind, isDirectory, isWhiteoutDevice, type FileKind } from '../../tree/file-kind.js';
import { whiteoutOf, isAufsMarker } from '../../tree/aufs-markers.js';
import { hasOpaqueMark } from '../../tree/overlay-marks.js';
import { baseName, joinPath, parentOf } from '../../tree/paths.js';
import type { TreeFiles } from '../../tree/tree-files.js';
import { changedEntry } from '../changed-entry.js';
import type { TarOutput } from '../tar-output.js';
import type { AccountNames } from './account-names.js';
import { encodeGoHeader, type GoHeader } from './go-header.js';

export interface MemberOptions {
  /** Whether character devices 0:0 and opaque attributes are deletions, or are written as what they are. */
  readonly whiteouts: 'overlay' | 'none';
  readonly idMaps: IdMaps | undefined;
  /** Looked up by the owners on the host, also where maps change them. */
  readonly names: AccountNames;
}

const empty = Buffer.alloc(0);
const slash = Buffer.from('/');
const opaqueName = Buffer.from('.wh..wh..opq');

const typeFlags: Readonly<Record<Exclude<FileKind, 'socket'>, GoHeader['typeFlag']>> = {
  file: '0',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

export class DockerMembers {
  /** First name of every inode that has several. By number alone, as in Docker: a layer lies on one file system. */
  readonly #first = new Map<bigint, Buffer>();

  constructor(
    private readonly files: TreeFiles,
    private readonly output: TarOutput,
    private readonly options: MemberOptions,
  ) {}

  /** @param path below the root, not the root itself */
  *write(path: Buffer, status: FileStatus): ByteSource {
    const kind = fileKind(status);
    if (kind === 'socket') return;
    const linkedTo = this.#linkTo(path, status);
    if (this.options.whiteouts === 'overlay' && isWhiteoutDevice(status)) {
      yield* this.#whiteout(path, status, linkedTo);
      return;
    }
    const header = this.#header(path, kind, status, linkedTo);
    if (kind === 'file' && linkedTo === undefined) {
      yield* this.#file(path, header);
      return;
    }
    yield* this.output.raw(encodeGoHeader(header));
    // Docker looks for `trusted.overlay.opaque` only; overlays over an aufs home are mounted with `userxattr`.
    const isOpaque = kind === 'directory' && this.options.whiteouts === 'overlay' && hasOpaqueMark(this.files, path);
    if (isOpaque) yield* this.#opaqueMarker(path, header);
  }

  #header(path: Buffer, kind: keyof typeof typeFlags, status: FileStatus, linkedTo: Buffer | undefined): GoHeader {
    const device = kind === 'character' || kind === 'block';
    return {
      typeFlag: linkedTo === undefined ? typeFlags[kind] : '1',
      name: kind === 'directory' ? Buffer.concat([path, slash]) : path,
      linkName: linkedTo ?? (kind === 'symlink' ? this.files.linkTarget(path) : empty),
      mode: status.mode,
      ...this.#owner(path, status),
      ...this.#names(status),
      size: 0,
      modified: Number(wholeSeconds(status.modifiedNs)),
      deviceMajor: device ? status.specialMajor : 0,
      deviceMinor: device ? status.specialMinor : 0,
      capability: this.#capability(path),
    };
  }

  /**
   * A deletion keeps the time and owner that the kernel gave to the device. Kernels make one device for many deletions;
   * the later ones carry the name of the first as the target of a link, although they are none.
   */
  *#whiteout(path: Buffer, status: FileStatus, linkedTo: Buffer | undefined): ByteSource {
    yield* this.output.raw(
      encodeGoHeader({
        typeFlag: '0',
        name: joinPath(parentOf(path), whiteoutOf(baseName(path))),
        linkName: linkedTo ?? empty,
        mode: 0o600,
        uid: status.uid,
        gid: status.gid,
        ...this.#names(status),
        size: 0,
        modified: Number(wholeSeconds(status.modifiedNs)),
        deviceMajor: 0,
        deviceMinor: 0,
      }),
    );
  }

  #opaqueMarker(path: Buffer, { mode, uid, gid, userName, groupName }: GoHeader): ByteSource {
    return this.output.raw(
      encodeGoHeader({
        typeFlag: '0',
        name: joinPath(path, opaqueName),
        linkName: empty,
        mode: mode & 0o777,
        uid,
        gid,
        userName,
        groupName,
        size: 0,
        modified: 0,
        deviceMajor: 0,
        deviceMinor: 0,
      }),
    );
  }

  *#file(path: Buffer, header: GoHeader): ByteSource {
    const fd = this.files.open(path);
    try {
      const opened = this.files.statusOfOpen(fd, path);
      if (fileKind(opened) !== 'file') throw changedEntry(path);
      yield* this.output.raw(encodeGoHeader({ ...header, size: opened.size }));
      yield* this.output.content(fd, opened.size, this.files.absolutePath(path));
    } finally {
      nativeSyscalls().close(fd);
    }
  }

  #linkTo(path: Buffer, status: FileStatus): Buffer | undefined {
    // Markers of a layer may be names of one file; an opaque marker that is a link is none to who unpacks it.
    if (isDirectory(status) || status.links < 2 || isAufsMarker(baseName(path))) return undefined;
    const first = this.#first.get(status.inode);
    if (first === undefined) this.#first.set(status.inode, path);
    return first;
  }

  #owner(path: Buffer, status: FileStatus): { uid: number; gid: number } {
    // Whiteouts of aufs belong to the host as well.
    const maps = isAufsMarker(baseName(path)) ? undefined : this.options.idMaps;
    return toContainer(maps, { uid: status.uid, gid: status.gid });
  }

  #names(status: FileStatus): Pick<GoHeader, 'userName' | 'groupName'> {
    const { names } = this.options;
    return { userName: names.user(status.uid), groupName: names.group(status.gid) };
  }

  #capability(path: Buffer): Buffer | undefined {
    const value = this.files.xattr(path, 'security.capability');
    if (value === undefined || value.length === 0) return undefined;
    // Revision 3 names the root of a user namespace of the host; Docker turns it into revision 2.
    if (value[3] !== 3) return value;
    const rewritten = Buffer.from(value.subarray(0, 20));
    rewritten[3] = 2;
    return rewritten;
  }
}
