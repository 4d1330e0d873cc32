import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';
import { nativeSyscalls } from '@layerstore/linux';

/**
 * Everything that a program can see of a tree, one line for each path, for example `file 4755 0:0 12 bytes 2cf24dba
 * 1700000000500000000`. Two trees are the same when their records are equal.
 *
 * Times of directories are left out: they tell when the tree was written, not what is in it. So are the marks of overlays. Names are
 * read as latin1, so that any bytes can be told apart.
 */
export function treeFacts(root: string): Record<string, string> {
  const facts: Record<string, string> = { '/': describe(Buffer.from(root)) };
  const firstNames = new Map<string, string>();
  const visit = (directory: Buffer, shown: string): void => {
    for (const name of readdirSync(directory, { encoding: 'latin1' }).sort()) {
      const path = Buffer.concat([directory, Buffer.from(`/${name}`, 'latin1')]);
      const status = lstatSync(path, { bigint: true });
      const key = `${status.dev}:${status.ino}`;
      const first = status.isDirectory() ? undefined : firstNames.get(key);
      facts[shown + name] = first === undefined ? describe(path) : `hard link to ${first}`;
      if (first === undefined) firstNames.set(key, shown + name);
      if (status.isDirectory()) visit(path, `${shown}${name}/`);
    }
  };
  visit(Buffer.from(root), '/');
  return facts;
}

function describe(path: Buffer): string {
  const status = lstatSync(path, { bigint: true });
  const mode = (status.mode & 0o7777n).toString(8).padStart(4, '0');
  return [typeOf(status), mode, `${status.uid}:${status.gid}`, ...content(path, status), ...xattrs(path)].join(' ');
}

function typeOf(status: BigIntStats): string {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isFIFO()) return 'fifo';
  if (status.isSocket()) return 'socket';
  return `${status.isBlockDevice() ? 'block' : 'character'} device ${status.rdev}`;
}

function content(path: Buffer, status: BigIntStats): string[] {
  if (status.isDirectory()) return [];
  if (status.isSymbolicLink()) return [readlinkSync(path, { encoding: 'latin1' }), String(status.mtimeNs)];
  if (!status.isFile()) return [String(status.mtimeNs)];
  const digest = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 8);
  return [`${status.size} bytes`, digest, String(status.mtimeNs)];
}

function xattrs(path: Buffer): string[] {
  const sys = nativeSyscalls();
  return sys
    .listXattrs(path)
    .filter((name) => !/^(?:(?:trusted|user)\.overlay|user\.fuseoverlayfs)\./.test(name.toString('latin1')))
    .map((name) => `${name.toString('latin1')}=${sys.getXattr(path, name)?.toString('base64') ?? ''}`)
    .sort();
}
