import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AT_FDCWD, nativeSyscalls } from '@layerstore/linux';
import type { TarEntry } from './entry.js';
import { TarReader } from './reader.js';
import { encodeHeader, END_OF_ARCHIVE, padding } from './writer.js';

/**
 * The codec against GNU tar and bsdtar: archives of theirs must read as what the file system holds, archives of ours
 * must unpack as what was written.
 */

const asRoot = process.getuid?.() === 0;
const present = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;
const gnuTar = asRoot && present('tar');
const bsdtar = asRoot && present('bsdtar');
const umoci = asRoot && present('umoci');
const needs = (tool: string, available: boolean): string =>
  available ? tool : `${tool} (skipped: needs root and ${tool})`;

const SYMLINK_NOFOLLOW = 0x100;
const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
const binaryValue = Buffer.from([0, 0xff, 0x0a, 0x3d, 0x20, 0]);
const longComponent = 'long-'.repeat(30);
const deepPath = `deep/${'nested-directory/'.repeat(20)}file`;

/** What a member is, in a form that file system and archive share; times in nanoseconds. */
interface Seen {
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: bigint;
  readonly target: string;
  readonly device: string;
  readonly content: string;
  readonly xattrs: readonly string[];
}

/** bsdtar 3.6 reads and writes the fraction of a negative time with the wrong sign. */
const wholeSecondsBefore1970 = -2_000_000_000n;

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'layerstore-tar-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface TreeOptions {
  /** Time of `dir/block`. */
  readonly modified?: bigint;
  /** What V7 and ustar cannot hold: long names, ids over 2,097,151. */
  readonly large: boolean;
  readonly devices: boolean;
}

function makeTree(path: string, { large, devices, modified = 1n }: TreeOptions): void {
  const syscalls = nativeSyscalls();
  const at = (name: string): string => join(path, name);
  mkdirSync(path);
  mkdirSync(at('dir'));
  writeFileSync(at('dir/empty'), '');
  writeFileSync(at('dir/tool'), 'x'.repeat(1000));
  chownSync(at('dir/tool'), 1, 2);
  chmodSync(at('dir/tool'), 0o6755);
  writeFileSync(at('dir/block'), 'y'.repeat(1024));
  linkSync(at('dir/tool'), at('dir/zz-hard-link'));
  symlinkSync('../target that is not there', at('dir/link'));
  mkdirSync(at('setgid'));
  chmodSync(at('setgid'), 0o2775);
  writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0x6e, 0xff, 0xfe])]), 'not UTF-8');
  writeFileSync(at('grüße'), 'UTF-8');
  syscalls.utimensat(AT_FDCWD, at('dir/empty'), 0n, 1_600_000_000_123_456_789n, 0);
  syscalls.utimensat(AT_FDCWD, at('dir/block'), 0n, modified, 0);
  if (devices) {
    syscalls.mknodat(AT_FDCWD, at('fifo'), 0o010640, 0, 0);
    syscalls.mknodat(AT_FDCWD, at('null'), 0o020666, 1, 3);
    syscalls.mknodat(AT_FDCWD, at('loop'), 0o060660, 259, 65_537);
  }
  if (large) {
    mkdirSync(join(at(deepPath), '..'), { recursive: true });
    writeFileSync(at(deepPath), 'deep');
    writeFileSync(at(longComponent), 'long');
    symlinkSync(`${longComponent}/${longComponent}`, at('long-link'));
    linkSync(at(deepPath), at('zz-hard-link-to-deep'));
    chownSync(at('dir/block'), 3_000_000, 4_000_000);
  }
}

function addXattrs(path: string): void {
  const syscalls = nativeSyscalls();
  syscalls.setXattr(join(path, 'dir/empty'), 'security.capability', capability);
  syscalls.setXattr(join(path, 'dir/empty'), 'trusted.binary', binaryValue);
  syscalls.setXattr(join(path, 'dir'), 'trusted.on-a-directory', Buffer.from('value'));
}

/** What the file system says of a file. A further name of an inode that was seen is a hard link to the first one. */
function seenOnDisk(path: Buffer, firstName: string | undefined): Seen {
  const status = nativeSyscalls().statx(AT_FDCWD, path, SYMLINK_NOFOLLOW);
  const syscalls = nativeSyscalls();
  const types: Record<number, string> = {
    0o040000: 'directory',
    0o100000: 'file',
    0o120000: 'symlink',
    0o020000: 'character',
    0o060000: 'block',
    0o010000: 'fifo',
  };
  const type = firstName === undefined ? (types[status.mode & 0o170000] ?? 'unknown') : 'hardlink';
  const target = type === 'symlink' ? readlinkSync(path, 'buffer').toString('latin1') : (firstName ?? '');
  return {
    type,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    modified: status.modifiedNs,
    target,
    device: type === 'character' || type === 'block' ? `${status.specialMajor}:${status.specialMinor}` : '',
    content: type === 'file' ? digest(readFileSync(path)) : '',
    xattrs:
      type === 'file' || type === 'directory'
        ? syscalls
            .listXattrs(path)
            .map(
              (name) =>
                `${name.toString('latin1')}=${(syscalls.getXattr(path, name) ?? Buffer.alloc(0)).toString('hex')}`,
            )
            .filter((text) => !text.startsWith('security.selinux'))
            .sort()
        : [],
  };
}

/** Everything named, the first name of each inode being the file and all others hard links to it. */
function seenTree(path: string, names: readonly string[]): Map<string, Seen> {
  const first = new Map<bigint, string>();
  const tree = new Map<string, Seen>();
  for (const name of names) {
    const full = Buffer.concat([Buffer.from(`${path}/`), Buffer.from(name, 'latin1')]);
    const status = lstatSync(full, { bigint: true });
    const known = status.isDirectory() ? undefined : first.get(status.ino);
    if (known === undefined) first.set(status.ino, name);
    tree.set(name, seenOnDisk(full, known));
  }
  return tree;
}

/** The names below `path` as latin1. */
function allNames(path: Buffer, prefix = ''): string[] {
  return readdirSync(path, { withFileTypes: true, encoding: 'buffer' }).flatMap((found) => {
    const name = `${prefix}${found.name.toString('latin1')}`;
    const below = Buffer.concat([path, Buffer.from('/'), found.name]);
    return found.isDirectory() ? [name, ...allNames(below, `${name}/`)] : [name];
  });
}

const digest = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** What the archive says; names without `./` and final slash, as latin1. */
function seenInArchive(archive: Buffer): Map<string, Seen> {
  const tree = new Map<string, Seen>();
  const reader = new TarReader(chunked(archive));
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const content = Buffer.alloc(entry.size);
    for (const { data, offset } of reader.payload()) data.copy(content, offset);
    const name = plainName(entry.name);
    if (name !== '' && name !== '.') tree.set(name, seenEntry(entry, content));
  }
  return tree;
}

function seenEntry(entry: TarEntry, content: Buffer): Seen {
  return {
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    modified: entry.modifiedNs,
    target: entry.type === 'hardlink' ? plainName(entry.linkName) : entry.linkName.toString('latin1'),
    device: entry.type === 'character' || entry.type === 'block' ? `${entry.deviceMajor}:${entry.deviceMinor}` : '',
    content: entry.type === 'file' ? digest(content) : '',
    xattrs: entry.xattrs.map(({ name, value }) => `${name.toString('latin1')}=${value.toString('hex')}`).sort(),
  };
}

const plainName = (name: Buffer): string => name.toString('latin1').replace(/^\.\//, '').replace(/\/$/, '');

/** A prime, so that headers and payloads are cut everywhere. */
function* chunked(archive: Buffer): Generator<Buffer> {
  for (let start = 0; start < archive.length; start += 1511) yield archive.subarray(start, start + 1511);
}

const run = (tool: string, ...args: string[]): Buffer =>
  execFileSync(tool, args, {
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  });

/** Only PAX keeps fractions of seconds. */
const inSeconds = (tree: Map<string, Seen>): Map<string, Seen> =>
  new Map(
    Array.from(tree, ([name, seen]) => {
      const seconds =
        seen.modified / 1_000_000_000n - (seen.modified < 0n && seen.modified % 1_000_000_000n !== 0n ? 1n : 0n);
      return [name, { ...seen, modified: seconds * 1_000_000_000n }];
    }),
  );

function expectSame(archive: Buffer, tree: string, view: (tree: Map<string, Seen>) => Map<string, Seen>): void {
  const seen = seenInArchive(archive);
  const names = Array.from(seen.keys());
  expect([...names].sort()).toEqual(allNames(Buffer.from(tree)).sort());
  expect(view(seen)).toEqual(view(seenTree(tree, names)));
}

describe.skipIf(!gnuTar)(`an archive by ${needs('GNU tar', gnuTar)}`, () => {
  beforeAll(() => {
    makeTree(join(scratch, 'small'), { large: false, devices: false });
    makeTree(join(scratch, 'ustar'), { large: false, devices: true });
    makeTree(join(scratch, 'large'), { large: true, devices: true, modified: -1_500_000_000n });
    makeTree(join(scratch, 'xattrs'), { large: true, devices: true });
    addXattrs(join(scratch, 'xattrs'));
  });

  it.each([
    ['v7', 'small'],
    ['ustar', 'ustar'],
    ['oldgnu', 'large'],
    ['gnu', 'large'],
  ])('in format %s reads as the file system has it, times in seconds', (format, tree) => {
    const path = join(scratch, tree);
    expectSame(run('tar', `--format=${format}`, '-C', path, '-cf', '-', '.'), path, inSeconds);
  });

  it('in format pax reads as the file system has it, times in nanoseconds', () => {
    const path = join(scratch, 'large');
    expectSame(run('tar', '--format=pax', '-C', path, '-cf', '-', '.'), path, (tree) => tree);
  });

  it('with attributes has them as bytes, file capabilities included', () => {
    const path = join(scratch, 'xattrs');
    const archive = run('tar', '--format=pax', '--xattrs', '--xattrs-include=*', '-C', path, '-cf', '-', '.');
    expectSame(archive, path, (tree) => tree);
    expect(seenInArchive(archive).get('dir/empty')?.xattrs).toEqual([
      `security.capability=${capability.toString('hex')}`,
      `trusted.binary=${binaryValue.toString('hex')}`,
    ]);
  });

  it('with an id given on the command line over 2,097,151 has it', () => {
    const path = join(scratch, 'small');
    for (const format of ['gnu', 'pax']) {
      const archive = run(
        'tar',
        `--format=${format}`,
        '--owner=:3000000',
        '--group=:4294967294',
        '-C',
        path,
        '-cf',
        '-',
        'dir',
      );
      expect(seenInArchive(archive).get('dir/tool')).toMatchObject({ uid: 3_000_000, gid: 4_294_967_294 });
    }
  });

  it('with a global PAX header has its records on every member', () => {
    const path = join(scratch, 'small');
    const archive = run(
      'tar',
      '--format=pax',
      '--pax-option=globexthdr.name=g,gname=somebody,uname=',
      '-C',
      path,
      '-cf',
      '-',
      'dir',
    );
    const reader = new TarReader([archive]);
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      expect(entry.groupName.toString()).toBe('somebody');
    }
  });

  it('that is incremental lists its directories and their files', () => {
    const path = join(scratch, 'small');
    const archive = run(
      'tar',
      '--format=gnu',
      `--listed-incremental=${join(scratch, 'snapshot')}`,
      '-C',
      path,
      '-cf',
      '-',
      'dir',
    );
    const seen = seenInArchive(archive);
    expect(seen.get('dir')?.type).toBe('directory');
    expect(seen.get('dir/block')?.content).toBe(digest(Buffer.from('y'.repeat(1024))));
  });

  it.each([
    ['gnu', []],
    ['oldgnu', []],
    ['pax', ['--sparse-version=0.0']],
    ['pax', ['--sparse-version=0.1']],
    ['pax', ['--sparse-version=1.0']],
  ])('in format %s with sparse files %j reads as their content', (format, options) => {
    const path = join(scratch, `sparse-${format}${options.join('')}`);
    mkdirSync(path);
    writeSparse(join(path, 'one-segment'), 1 << 20, [[300_000, 'data']]);
    writeSparse(
      join(path, 'many-segments'),
      8 << 20,
      Array.from({ length: 120 }, (_, index) => [index * 65_536, `${index}`]),
    );
    writeSparse(join(path, 'hole'), 1 << 20, []);
    writeSparse(join(path, 'ends-with-data'), (1 << 20) + 3, [[(1 << 20) - 5, 'the end.']]);
    const archive = run('tar', `--format=${format}`, '--sparse', ...options, '-C', path, '-cf', '-', '.');
    expect(archive.length).toBeLessThan(1 << 20);
    expectSame(archive, path, inSeconds);
    expect(sparseMembers(archive)).toEqual(['ends-with-data', 'hole', 'many-segments', 'one-segment']);
  });
});

function sparseMembers(archive: Buffer): string[] {
  const reader = new TarReader([archive]);
  const names: string[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    if (entry.sparse !== undefined) names.push(plainName(entry.name));
  }
  return names.sort();
}

function writeSparse(path: string, size: number, segments: readonly (readonly [number, string])[]): void {
  writeFileSync(path, '');
  truncateSync(path, size);
  const fd = openSync(path, 'r+');
  for (const [offset, text] of segments) writeSync(fd, text, offset);
  closeSync(fd);
}

describe.skipIf(!bsdtar)(`an archive by ${needs('bsdtar', bsdtar)}`, () => {
  beforeAll(() => {
    makeTree(join(scratch, 'bsd-ustar'), { large: false, devices: true });
    makeTree(join(scratch, 'bsd-large'), { large: true, devices: true });
    makeTree(join(scratch, 'bsd-old'), { large: true, devices: true, modified: wholeSecondsBefore1970 });
    addXattrs(join(scratch, 'bsd-old'));
  });

  it.each([
    ['ustar', 'bsd-ustar'],
    ['gnutar', 'bsd-large'],
  ])('in format %s reads as the file system has it, times in seconds', (format, tree) => {
    const path = join(scratch, tree);
    expectSame(run('bsdtar', `--format=${format}`, '-C', path, '-cf', '-', '.'), path, inSeconds);
  });

  it('in format pax reads as the file system has it, with attributes and nanoseconds', () => {
    const path = join(scratch, 'bsd-old');
    expectSame(run('bsdtar', '--format=pax', '-C', path, '-cf', '-', '.'), path, (tree) => tree);
  });

  it('with a sparse file reads as its content', () => {
    const path = join(scratch, 'bsd-sparse');
    mkdirSync(path);
    writeSparse(join(path, 'file'), 8 << 20, [
      [1 << 20, 'data'],
      [5 << 20, 'more'],
    ]);
    const archive = run('bsdtar', '--format=pax', '--read-sparse', '-C', path, '-cf', '-', '.');
    expectSame(archive, path, (tree) => tree);
  });
});

describe.skipIf(!umoci)(`a layer by ${needs('umoci', umoci)}`, () => {
  it('that was inserted, without padding and end, is read', () => {
    const layout = join(scratch, 'layout');
    const file = join(scratch, 'inserted');
    writeFileSync(file, 'abc');
    run('umoci', 'init', '--layout', layout);
    run('umoci', 'new', '--image', `${layout}:tag`);
    run('umoci', 'insert', '--image', `${layout}:tag`, file, '/dir/file');
    const blobs = readdirSync(join(layout, 'blobs/sha256')).map((name) =>
      readFileSync(join(layout, 'blobs/sha256', name)),
    );
    const layer = blobs.find((blob) => blob[0] === 0x1f && blob[1] === 0x8b) ?? Buffer.alloc(0);
    const archive = gunzipSync(layer);
    expect(archive.length % 512).toBe(3);
    expect(seenInArchive(archive).get('dir/file')?.content).toBe(digest(Buffer.from('abc')));
  });
});

describe.each([
  ['GNU tar', gnuTar, -1_500_000_000n, ['tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf']],
  ['bsdtar', bsdtar, wholeSecondsBefore1970, ['bsdtar', '--numeric-owner', '-xpf']],
] as const)('our archive', (name, available, modified, [tool, ...options]) => {
  it.skipIf(!available)(`unpacks with ${needs(name, available)} as what was written`, () => {
    const source = join(scratch, `source-${tool}`);
    makeTree(source, { large: true, devices: true, modified });
    addXattrs(source);
    const archive = join(scratch, `${tool}.tar`);
    writeFileSync(archive, rewritten(source));
    const target = join(scratch, `target-${tool}`);
    mkdirSync(target);
    run(tool, ...options, archive, '-C', target);
    const names = allNames(Buffer.from(source)).sort();
    expect(seenTree(target, names)).toEqual(seenTree(source, names));
  });
});

/** The archive of a tree, each member encoded anew by our writer. */
function rewritten(tree: string): Buffer {
  const archive = run('tar', '--format=pax', '--xattrs', '--xattrs-include=*', '-C', tree, '-cf', '-', '.');
  const reader = new TarReader([archive]);
  const parts: Buffer[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    parts.push(encodeHeader(entry));
    for (const { data } of reader.payload()) parts.push(data);
    parts.push(padding(entry.size));
  }
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}
