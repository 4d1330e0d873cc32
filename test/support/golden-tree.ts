/**
 * Trees as the golden manifests in `test/fixtures` describe them: every path with all that a program can see of it.
 */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nativeSyscalls } from '@layerstore/linux';

/** As the READMEs of the fixtures explain them. */
export interface GoldenEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: string;
  readonly size?: number;
  readonly sha256?: string;
  readonly link?: string;
  readonly linkB64?: string;
  readonly rdev?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly nlink?: number;
  readonly sameInodeAs?: string;
  readonly pathB64?: string;
  readonly xattrsUnreadable?: readonly string[];
  readonly pastOpaque?: boolean;
}

/** What is at each path; paths in latin1. */
export type GoldenTree = ReadonlyMap<string, Omit<GoldenEntry, 'path'>>;

/** The golden fixture of that name, unpacked into `to`, which is made. */
export function unpackFixture(name: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const archive = fixturePath(name, `${name}.tar.gz`);
  const options = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--warning=no-timestamp', '-xpzf', archive];
  execFileSync('tar', [...options, '-C', to], { stdio: ['ignore', 'ignore', 'inherit'] });
}

export function fixturePath(name: string, file: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}/${file}`, import.meta.url));
}

/** The caller says what the manifest of the fixture holds. */
export function readManifest(name: string): unknown {
  return JSON.parse(readFileSync(fixturePath(name, 'manifest.json'), 'utf8'));
}

/**
 * The tree at `root` in the same form, by path in latin1. Names of inodes are told by the first path that the manifest lists
 * for them, so its order is needed.
 */
export function goldenTree(root: string, order: readonly GoldenEntry[]): GoldenTree {
  const places = new Map(order.map((entry, index) => [keyOf(entry), index]));
  const found = new Map<string, BigIntStats>();
  const visit = (directory: Buffer, shown: string): void => {
    for (const name of readdirSync(directory, { encoding: 'latin1' })) {
      const path = Buffer.concat([directory, Buffer.from(`/${name}`, 'latin1')]);
      const status = lstatSync(path, { bigint: true });
      found.set(`${shown}/${name}`, status);
      if (status.isDirectory()) visit(path, `${shown}/${name}`);
    }
  };
  found.set('/', lstatSync(root, { bigint: true }));
  visit(Buffer.from(root), '');
  const sorted = [...found].sort(([one], [other]) => (places.get(one) ?? Infinity) - (places.get(other) ?? Infinity));
  const names = new Map<string, string[]>();
  for (const [key, status] of sorted) {
    if (status.isDirectory()) continue;
    const inode = `${status.dev}:${status.ino}`;
    names.set(inode, [...(names.get(inode) ?? []), Buffer.from(key, 'latin1').toString()]);
  }
  const tree = new Map<string, Omit<GoldenEntry, 'path'>>();
  for (const [key, status] of sorted) {
    const [first] = names.get(`${status.dev}:${status.ino}`) ?? [];
    const own = Buffer.from(key, 'latin1').toString();
    const path = key === '/' ? Buffer.from(root) : Buffer.concat([Buffer.from(root), Buffer.from(key, 'latin1')]);
    const same = first === undefined || first === own ? {} : { sameInodeAs: first };
    tree.set(key, { ...describe(path, status), ...same });
  }
  return tree;
}

/** The entries of a manifest in the same form. ACLs that the manifest could not read are left out on both sides. */
export function goldenEntries(entries: readonly GoldenEntry[]): GoldenTree {
  return new Map(
    entries
      .filter((entry) => entry.pastOpaque !== true)
      .map((entry) => {
        // One manifest says it of the first name, too.
        const own = entry.sameInodeAs === entry.path ? ['sameInodeAs'] : [];
        return [keyOf(entry), without(entry, 'path', 'pathB64', 'xattrsUnreadable', 'pastOpaque', ...own)];
      }),
  );
}

/** A record without some of its fields. */
export function without(entry: Omit<GoldenEntry, 'path'>, ...fields: readonly string[]): Omit<GoldenEntry, 'path'> {
  const kept = Object.entries(entry).filter(([name]) => !fields.includes(name));
  return Object.fromEntries(kept) as unknown as Omit<GoldenEntry, 'path'>;
}

export function keyOf(entry: Pick<GoldenEntry, 'path' | 'pathB64'>): string {
  const bytes = entry.pathB64 === undefined ? Buffer.from(entry.path) : Buffer.from(entry.pathB64, 'base64');
  return bytes.toString('latin1');
}

function describe(path: Buffer, status: BigIntStats): Omit<GoldenEntry, 'path'> {
  const type = typeOf(status);
  const target = status.isSymbolicLink() ? readlinkSync(path, { encoding: 'buffer' }) : undefined;
  const found = xattrs(path);
  return {
    type,
    mode: (status.mode & 0o7777n).toString(8).padStart(4, '0'),
    uid: Number(status.uid),
    gid: Number(status.gid),
    mtimeNs: String(status.mtimeNs),
    ...(type === 'dir' ? {} : { nlink: Number(status.nlink) }),
    ...(type === 'file' ? content(path, status) : {}),
    ...(target === undefined ? {} : { link: target.toString() }),
    ...(target === undefined || isUtf8(target) ? {} : { linkB64: target.toString('base64') }),
    ...(type === 'char' || type === 'block' ? { rdev: device(status.rdev) } : {}),
    ...(Object.keys(found).length === 0 ? {} : { xattrs: found }),
  };
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString()).equals(bytes);
}

function content(path: Buffer, status: BigIntStats): Pick<GoldenEntry, 'size' | 'sha256'> {
  return { size: Number(status.size), sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

function device(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

function typeOf(status: BigIntStats): string {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'dir';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isFIFO()) return 'fifo';
  if (status.isSocket()) return 'socket';
  return status.isBlockDevice() ? 'block' : 'char';
}

function xattrs(path: Buffer): Record<string, string> {
  const sys = nativeSyscalls();
  const found: Record<string, string> = {};
  for (const name of sys.listXattrs(path).map((bytes) => bytes.toString('latin1'))) {
    if (name.startsWith('system.posix_acl_')) continue;
    found[name] = sys.getXattr(path, name)?.toString('base64') ?? '';
  }
  return found;
}

/** What differs, in words short enough for a failing test. */
export function differences(shown: GoldenTree, expected: GoldenTree): string[] {
  const lines: string[] = [];
  for (const key of new Set([...shown.keys(), ...expected.keys()])) {
    const [one, other] = [shown.get(key), expected.get(key)].map((value) => canonical(value));
    if (one !== other) lines.push(`${JSON.stringify(key)}: shows ${one}, should show ${other}`);
  }
  return lines;
}

function canonical(value: unknown): string {
  if (value === undefined) return 'nothing';
  const entries = Object.entries(value as Record<string, unknown>).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify(entries.map(([key, each]) => (key === 'xattrs' ? [key, canonical(each)] : [key, each])));
}
