/** What a lower layer has, as members of an archive are: for files that are copied up. */
import { nativeSyscalls } from '@layerstore/linux';
import type { EntryType, TarEntry } from '../tar/entry.js';
import { fileKind } from '../tree/file-kind.js';
import { readXattrs } from '../tree/overlay-marks.js';
import type { LayerStack, StackEntry } from '../tree/stack.js';
import type { ContentChunk } from './member-writer.js';

const CHUNK = 1 << 20;
const empty = Buffer.alloc(0);

/** Attributes and, for symlinks, the target; the overlay's own attributes are left out. */
export function entryFrom(entry: StackEntry): TarEntry {
  const { status, files, relative } = entry;
  const type = entryType(entry);
  return {
    type,
    name: relative,
    linkName: type === 'symlink' ? files.linkTarget(relative) : empty,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    userName: empty,
    groupName: empty,
    size: type === 'file' ? status.size : 0,
    modifiedNs: status.modifiedNs,
    accessedNs: status.accessedNs,
    deviceMajor: status.specialMajor,
    deviceMinor: status.specialMinor,
    xattrs: readXattrs(files, relative).own,
    // Content is delivered by its position, holes left out.
    ...(type === 'file' ? { sparse: [] } : {}),
  };
}

/** The content of a regular file of a stack. */
export function* readContent(stack: LayerStack, path: Buffer): Generator<ContentChunk, void, undefined> {
  const source = stack.content(path);
  if (source === undefined) return;
  const syscalls = nativeSyscalls();
  const fd = source.files.open(source.relative);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(source.status.size, 1)));
    let offset = syscalls.seekSparse(fd, 0, 'data');
    while (offset !== undefined) {
      const end = syscalls.seekSparse(fd, offset, 'hole') ?? offset;
      while (offset < end) {
        const count = syscalls.read(fd, buffer.subarray(0, Math.min(buffer.length, end - offset)), offset);
        if (count === 0) return;
        yield { data: buffer.subarray(0, count), offset };
        offset += count;
      }
      offset = syscalls.seekSparse(fd, end, 'data');
    }
  } finally {
    syscalls.close(fd);
  }
}

function entryType(entry: StackEntry): EntryType {
  const kind = fileKind(entry.status);
  // Archives cannot hold sockets, and nothing can be behind one in a layer: dockerd makes fifos of them, too.
  return kind === 'socket' ? 'fifo' : kind;
}
