import type { DeviceNumber } from '../format/device-number.js';
import type { ObjectReference } from '../format/object-reference.js';

export type EntryType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character-device' | 'block-device';

/** One name in a revision. A plain record without references into databases. */
export interface Entry {
  /** Raw bytes of the last component; empty for the root. */
  readonly name: Buffer;
  /** Raw bytes of the absolute path; empty for the root, `/a/b` below it. */
  readonly path: Buffer;
  readonly type: EntryType;
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** As st_size: of a link the length of its text, of special files 0. */
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly nlink: number;
  /** Text of a symbolic link, literal or expanded as configured; empty for others. */
  readonly link: Buffer;
  /** Undefined for all but devices. */
  readonly device: DeviceNumber | undefined;
  readonly inode: InodeIdentity;
  /** The content of this directory lies in a nested catalog. */
  readonly isMountPoint: boolean;
  /** Found by name, but not listed. */
  readonly isHidden: boolean;
  /** Wanted past the page cache. */
  readonly isDirectIo: boolean;
  /** Of a file that is stored in one piece; undefined for others, `RevisionReader.content` tells of all. */
  readonly object: ObjectReference | undefined;
  /** Extended attributes as the catalog has them, read by `parseExtendedAttributes`; empty for none. */
  readonly attributes: Buffer;
}

/**
 * What stays the same for one file and differs between two, within one revision and in every process that reads it. Hard links of one
 * file share `number`; the others tell where the entry comes from.
 */
export interface InodeIdentity {
  /** 64 bits from the MD5 of the path, or of directory and group of hard links: a good inode number, also across restarts. Never 0 or 1. */
  readonly number: bigint;
  /** Content key of the catalog that the row is in. */
  readonly catalog: string;
  /** Row of the entry. */
  readonly row: number;
  /** Hard links of one directory with the same group are one file; 0 for none. */
  readonly hardLinkGroup: number;
}

/** Where the bytes of a file are. */
export type FileContent =
  | { readonly kind: 'object'; readonly object: ObjectReference }
  | { readonly kind: 'chunks'; readonly chunks: readonly FileChunk[] };

/** Chunks follow one another without gaps, from 0 to the size of the file. */
export interface FileChunk {
  readonly offset: number;
  readonly size: number;
  readonly object: ObjectReference;
}

/** Objects of a content, in the order of the file. */
export function objectsOf(content: FileContent): readonly ObjectReference[] {
  return content.kind === 'object' ? [content.object] : content.chunks.map(({ object }) => object);
}
