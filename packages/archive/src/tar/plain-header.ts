import type { EntryType } from './entry.js';
import { encodeHeader } from './writer.js';

const nothing = Buffer.alloc(0);

/**
 * The header of a member that a program makes up: of root, from the epoch, 0755 or 0644. The same arguments give the same bytes.
 * @param size of the payload, in bytes
 * @param target of a link
 * @throws StoreError as {@link encodeHeader} does
 */
export function encodePlainHeader(name: string, type: EntryType, size: number, target = ''): Buffer {
  return encodeHeader({
    type,
    name: Buffer.from(name),
    linkName: Buffer.from(target),
    mode: type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    userName: nothing,
    groupName: nothing,
    size,
    modifiedNs: 0n,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: [],
  });
}
