/**
 * Marks of the kernel's overlay file system, read from the extended attributes of a layer's entries
 * (Documentation/filesystems/overlayfs.rst). `trusted.overlay.*` is written by mounts of root, `user.overlay.*` by
 * mounts with the option userxattr, `user.fuseoverlayfs.*` by the program fuse-overlayfs; all are understood.
 */
import type { FileStatus } from '@layerstore/linux';
import { OPAQUE_MARKER } from '../apply/whiteout-name.js';
import type { Xattr } from '../tar/entry.js';
import { fileKind } from './file-kind.js';
import type { TreeFiles } from './tree-files.js';

export interface OverlayMarks {
  /** Directory: lower content is hidden. */
  readonly opaque: boolean;
  /** Lower content comes from there: an absolute path from the root of each lower layer, or another name. */
  readonly redirect: Buffer | undefined;
  /** File: only the attributes are here, the content is below. */
  readonly metacopy: boolean;
}

export const noMarks: OverlayMarks = { opaque: false, redirect: undefined, metacopy: false };

const kernelNamespaces = ['trusted.overlay.', 'user.overlay.'] as const;
const namespaces = [...kernelNamespaces, 'user.fuseoverlayfs.'] as const;

/** The marks of an entry, and the attributes that are its own, sorted by name. */
export interface SplitXattrs {
  readonly own: Xattr[];
  readonly marks: OverlayMarks;
}

export function readXattrs(files: TreeFiles, path: Buffer): SplitXattrs {
  return splitMarks(files.xattrs(path, isTelling));
}

/** The same of an open file. */
export function readXattrsOfOpen(files: TreeFiles, fd: number, path: Buffer): SplitXattrs {
  return splitMarks(files.xattrsOfOpen(fd, path, isTelling));
}

const telling: ReadonlySet<string> = new Set(['opaque', 'redirect', 'metacopy']);

/** `x` says that a directory may hold whiteouts in the form of attributes, not that it is opaque. */
function isYes(value: Buffer | undefined): boolean {
  return value?.toString() === 'y';
}

/** False for what an overlay notes for itself: every file that it copied up has an `origin`. */
function isTelling(name: Buffer): boolean {
  const text = name.toString('latin1');
  const namespace = namespaces.find((prefix) => text.startsWith(prefix));
  return namespace === undefined || telling.has(text.slice(namespace.length));
}

function splitMarks(xattrs: readonly Xattr[]): SplitXattrs {
  const own: Xattr[] = [];
  const marks = new Map<string, Buffer>();
  for (const xattr of xattrs) {
    const name = xattr.name.toString('latin1');
    const namespace = namespaces.find((prefix) => name.startsWith(prefix));
    if (namespace === undefined) own.push(xattr);
    else marks.set(name.slice(namespace.length), xattr.value);
  }
  if (marks.size === 0) return { own, marks: noMarks };
  return {
    own,
    marks: {
      opaque: isYes(marks.get('opaque')),
      redirect: marks.get('redirect'),
      metacopy: marks.has('metacopy'),
    },
  };
}

/** Whether a mount has marked a directory as opaque: what {@link readXattrs} tells, for callers that want nothing else. */
export function hasOpaqueMark(files: TreeFiles, path: Buffer): boolean {
  return kernelNamespaces.some((namespace) => isYes(files.xattr(path, `${namespace}opaque`)));
}

/** Whiteouts as an attribute of an empty file (kernel 6.7 and later), for places where devices cannot be made. */
export function isWhiteoutFile(files: TreeFiles, path: Buffer, status: FileStatus): boolean {
  if (status.size > 0 || fileKind(status) !== 'file') return false;
  return kernelNamespaces.some((namespace) => files.xattr(path, `${namespace}whiteout`) !== undefined);
}

/**
 * The names of a directory in an upper without what fuse-overlayfs puts into an opaque one while it is mounted: a file
 * and, so that it stays hidden, a whiteout.
 */
export function withoutFuseMarkers(names: Buffer[]): Buffer[] {
  if (!fuseMarkers.every((marker) => names.some((name) => name.equals(marker)))) return names;
  return names.filter((name) => !fuseMarkers.some((marker) => name.equals(marker)));
}

const fuseMarkers = [Buffer.from(OPAQUE_MARKER), Buffer.from('.wh..opq')];
