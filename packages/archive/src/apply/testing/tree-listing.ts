/** A directory tree as comparable lines, for tests: two trees are the same when their listings are. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  nativeSyscalls,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '@layerstore/linux';
import type { FileStatus } from '@layerstore/linux';

export interface ListingOptions {
  /** Leaves out times of these types, by the type's name. */
  readonly withoutTimesOf?: readonly string[];
  /** Leaves out extended attributes whose name fits. */
  readonly withoutXattrs?: RegExp;
  /** Leaves the root itself out. */
  readonly withoutRoot?: boolean;
}

const typeNames = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'character'],
  [S_IFBLK, 'block'],
  [S_IFIFO, 'fifo'],
]);

/** Path in latin1 (the root is `.`) to type, mode, owner, time, content, target, device, first name of its inode, attributes. */
export function listTree(root: string, options: ListingOptions = {}): Record<string, string> {
  const lines: Record<string, string> = {};
  const firstNames = new Map<bigint, string>();
  const visit = (path: Buffer, shown: string): void => {
    const status = nativeSyscalls().statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    const type = typeNames.get(status.mode & S_IFMT) ?? 'unknown';
    if (shown !== '.' || options.withoutRoot !== true) {
      lines[shown] = [...describeEntry(path, status, options), ...sharedName(status, type, shown, firstNames)].join(
        ' ',
      );
    }
    if (type !== 'directory') return;
    for (const name of readdirSync(path, { encoding: 'buffer' }).sort((a, b) => a.compare(b))) {
      const text = name.toString('latin1');
      visit(Buffer.concat([path, Buffer.from('/'), name]), shown === '.' ? text : `${shown}/${text}`);
    }
  };
  visit(Buffer.from(root), '.');
  return lines;
}

/** One line about one entry. */
export function describeEntry(path: Buffer, status: FileStatus, options: ListingOptions = {}): string[] {
  const type = typeNames.get(status.mode & S_IFMT) ?? 'unknown';
  const parts = [type, (status.mode & 0o7777).toString(8).padStart(4, '0'), `${status.uid}:${status.gid}`];
  if (options.withoutTimesOf?.includes(type) !== true) parts.push(`at ${status.modifiedNs}`);
  if (type === 'file') parts.push(contentOf(path, status));
  if (type === 'symlink') parts.push(`-> ${nativeSyscalls().readlinkat(AT_FDCWD, path).toString('latin1')}`);
  if (type === 'character' || type === 'block') parts.push(`${status.specialMajor}:${status.specialMinor}`);
  for (const name of nativeSyscalls()
    .listXattrs(path)
    .sort((a, b) => a.compare(b))) {
    const text = name.toString('latin1');
    if (options.withoutXattrs?.test(text) === true) continue;
    parts.push(`${text}=${nativeSyscalls().getXattr(path, name)?.toString('hex') ?? ''}`);
  }
  return parts;
}

function contentOf(path: Buffer, status: FileStatus): string {
  const content = readFileSync(path);
  if (content.length < 40) return JSON.stringify(content.toString('latin1'));
  return `${status.size} bytes ${createHash('sha256').update(content).digest('hex')}`;
}

function sharedName(status: FileStatus, type: string, shown: string, firstNames: Map<bigint, string>): string[] {
  if (type === 'directory' || status.links < 2) return [];
  const first = firstNames.get(status.inode);
  if (first !== undefined) return [`same file as ${first}`];
  firstNames.set(status.inode, shown);
  return [];
}
