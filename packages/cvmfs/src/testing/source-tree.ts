import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { digestOf, type Digest } from '@layerstore/core';
import { nativeSyscalls } from '@layerstore/linux';

const MIB = 1024 * 1024;

/** A directory with one of everything that a layer can hold, packed by GNU tar. Returns what names the layer. */
export function makeLayer(directory: string): { readonly tree: string; readonly tar: string; readonly digest: Digest } {
  const tree = join(directory, 'source');
  fill(tree);
  const tar = join(directory, 'layer.tar');
  packTree(tree, tar);
  return { tree, tar, digest: digestOf(readFileSync(tar)) };
}

export function packTree(tree: string, tar: string): void {
  const options = ['--xattrs', '--xattrs-include=*', '--format=posix', '--numeric-owner', '--sort=name'];
  execFileSync('tar', [...options, '-cf', tar, '-C', tree, '.']);
}

function fill(tree: string): void {
  for (const name of ['', 'usr', 'usr/bin', 'etc', 'etc/opaque', 'var', 'empty']) mkdirSync(join(tree, name));
  writeFileSync(join(tree, 'usr/bin/tool'), 'a tool\n');
  linkSync(join(tree, 'usr/bin/tool'), join(tree, 'usr/bin/same-tool'));
  linkSync(join(tree, 'usr/bin/tool'), join(tree, 'var/linked-elsewhere'));
  chmodSync(join(tree, 'usr/bin/tool'), 0o4755);
  writeFileSync(join(tree, 'etc/zero'), '');
  writeFileSync(join(tree, 'etc/copy'), 'a tool\n');
  writeFileSync(join(tree, 'etc/secret'), 'mine');
  chmodSync(join(tree, 'etc/secret'), 0);
  chownSync(join(tree, 'etc/secret'), 70_001, 4_000_000_000);
  writeFileSync(join(tree, 'usr/large'), randomBytes(21 * MIB + 17));
  writeFileSync(join(tree, 'usr/zeros'), Buffer.alloc(8 * MIB));
  symlinkSync('../usr/$(VARIABLE)', join(tree, 'etc/link'));
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/etc/`), Buffer.from([0x66, 0xff, 0xfe])]), 'raw name');
  execFileSync('mkfifo', [join(tree, 'var/fifo')]);
  execFileSync('mknod', [join(tree, 'var/device'), 'b', '300', '70000']);
  for (const [path, name, value] of [
    ['usr/bin/tool', 'security.capability', '0sAQAAAgAEAAAAAAAAAAAAAAAAAAA='],
    ['etc/copy', 'user.colour', 'amber'],
    ['usr', 'user.note', 'directory'],
  ] as const) {
    execFileSync('setfattr', ['-n', name, '-v', value, join(tree, path)]);
  }
  writeFileSync(join(tree, 'etc/.wh.gone'), '');
  writeFileSync(join(tree, 'etc/opaque/.wh..wh..opq'), '');
  writeFileSync(join(tree, 'etc/opaque/kept'), 'kept');
  for (const path of ['usr/bin/tool', 'etc/zero', 'etc/opaque', 'etc', 'usr', '']) {
    utimesSync(join(tree, path), 1_600_000_000, 1_600_000_000);
  }
}

/** An entry by what the kernel says of it; hard links by the number of names in the same directory. */
export interface SeenEntry {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly device: number;
  readonly link: string;
  readonly content: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Every entry below a directory by its path, whiteouts as archives name them turned into what an overlay reads. */
export function seenEntries(tree: string): Map<string, SeenEntry> {
  const listed = execFileSync('find', [tree, '-printf', '%P\\0'], { encoding: 'buffer', maxBuffer: 64 * MIB });
  const entries = new Map<string, SeenEntry>();
  const opaque: string[] = [];
  for (const path of listed.toString('latin1').split('\0').slice(0, -1)) {
    const absolute =
      path === '' ? Buffer.from(tree) : Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(path, 'latin1')]);
    const slash = path.lastIndexOf('/') + 1;
    if (path.slice(slash) === '.wh..wh..opq') opaque.push(path.slice(0, slash - 1));
    else if (path.startsWith('.wh.', slash)) entries.set(path.slice(0, slash) + path.slice(slash + 4), whiteout);
    else entries.set(path, seenEntry(absolute));
  }
  for (const path of opaque) {
    const entry = entries.get(path);
    if (entry === undefined) throw new Error(`a mark in no directory: ${path}`);
    const marks = { 'trusted.overlay.opaque': 'y', 'user.overlay.opaque': 'y' };
    entries.set(path, { ...entry, attributes: { ...entry.attributes, ...marks } });
  }
  return entries;
}

const whiteout: SeenEntry = {
  mode: 0o20000,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  device: 0,
  link: '',
  content: '',
  attributes: {},
};

function seenEntry(path: Buffer): SeenEntry {
  const status = lstatSync(path, { bigint: true });
  const calls = nativeSyscalls();
  const names = status.isSymbolicLink() ? [] : calls.listXattrs(path);
  return {
    mode: Number(status.mode),
    uid: Number(status.uid),
    gid: Number(status.gid),
    size: status.isDirectory() ? 4096 : Number(status.size),
    mtimeNs: status.mtimeNs,
    device: Number(status.rdev),
    link: status.isSymbolicLink() ? execFileSync('readlink', ['-n', path.toString('utf8')]).toString('latin1') : '',
    content: status.isFile() ? sha256(readFileSync(path)) : '',
    attributes: Object.fromEntries(
      names.map((name) => [name.toString('latin1'), calls.getXattr(path, name)?.toString('latin1') ?? '']),
    ),
  };
}
