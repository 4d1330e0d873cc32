import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TarReader } from '../tar/reader.js';
import { joinTarSplit } from './join.js';
import { TarSplitWriter } from './writer.js';

/** Records made by containers/storage (through skopeo) against ours, for the same layer. */

const available = process.getuid?.() === 0 && spawnSync('skopeo', ['--version']).status === 0;
const why = available ? '' : ' (skipped: needs root and skopeo)';

let scratch = '';
let archive: Buffer = Buffer.alloc(0);
let tree = '';
let theirs = '';
let ours = '';

const storage = (): string => `containers-storage:[vfs@${scratch}/graph+${scratch}/run]layerstore-test:latest`;
const skopeo = (...args: string[]): void =>
  void execFileSync('skopeo', ['--insecure-policy', 'copy', '--quiet', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });

beforeAll(() => {
  if (!available) return;
  scratch = mkdtempSync(join(tmpdir(), 'layerstore-interchange-'));
  archive = makeArchive(join(scratch, 'source'));
  writeDockerArchive(join(scratch, 'docker.tar'), archive);
  skopeo(`docker-archive:${scratch}/docker.tar`, storage());
  const [record] = readdirSync(join(scratch, 'graph/vfs-layers')).filter((name) => name.endsWith('.tar-split.gz'));
  theirs = join(scratch, 'graph/vfs-layers', record ?? '');
  tree = join(scratch, 'graph/vfs/dir', (record ?? '').replace('.tar-split.gz', ''));
  ours = join(scratch, 'ours.gz');
  split(archive, ours);
});

afterAll(() => {
  if (available) rmSync(scratch, { recursive: true, force: true });
});

/** Enough members for records of several gzip members, and every kind of name. */
function makeArchive(source: string): Buffer {
  mkdirSync(join(source, 'many'), { recursive: true });
  for (let index = 0; index < 2000; index += 1)
    writeFileSync(join(source, 'many', `file-${index}`), `content ${index}`);
  writeFileSync(join(source, 'large'), Buffer.alloc(3_000_001, 'large '));
  writeFileSync(join(source, '<a>&"b"'), 'HTML');
  writeFileSync(join(source, 'grüße'), 'UTF-8');
  writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0x6e, 0xff])]), 'not UTF-8');
  writeFileSync(join(source, 'n'.repeat(200)), 'long name');
  linkSync(join(source, 'large'), join(source, 'many/zz-hard-link'));
  symlinkSync('large', join(source, 'symlink'));
  return execFileSync('tar', ['--format=pax', '--sort=name', '-C', source, '-cf', '-', '.'], { maxBuffer: 1 << 26 });
}

function writeDockerArchive(path: string, layer: Buffer): void {
  const folder = `${path}.d`;
  mkdirSync(folder);
  const diffId = `sha256:${createHash('sha256').update(layer).digest('hex')}`;
  const config = { architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [diffId] } };
  writeFileSync(join(folder, 'layer.tar'), layer);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: ['layerstore-test:latest'], Layers: ['layer.tar'] }];
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  execFileSync('tar', ['-C', folder, '-cf', path, 'manifest.json', 'config.json', 'layer.tar']);
}

function split(bytes: Buffer, path: string): void {
  using writer = TarSplitWriter.create(path);
  const reader = new TarReader([bytes], { observer: writer });
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) writer.file(entry.name, entry.size);
  writer.finish();
}

const linesOf = (path: string): string[] => gunzipSync(readFileSync(path)).toString().trimEnd().split('\n');

const joinedFromTree = (path: string): Buffer => {
  const open = (name: Buffer): number => openSync(Buffer.concat([Buffer.from(`${tree}/`), name]), 'r');
  return Buffer.concat(Array.from(joinTarSplit(path, open), (chunk) => Buffer.from(chunk)));
};

describe.skipIf(!available)(`a tar-split file of containers/storage${why}`, () => {
  it('has the same lines as ours, up to the end of the archive', () => {
    const members = linesOf(ours).slice(0, -1);
    expect(members.length).toBeGreaterThan(4000);
    expect(linesOf(theirs).slice(0, members.length)).toEqual(members);
  });

  it('joins with our code into the archive', () => {
    expect(joinedFromTree(theirs).equals(archive)).toBe(true);
  });

  it('may be replaced by ours: skopeo makes the same archive from it', () => {
    writeFileSync(theirs, readFileSync(ours));
    skopeo('--dest-decompress', storage(), `dir:${scratch}/out`);
    const digest = createHash('sha256').update(archive).digest('hex');
    expect(readFileSync(join(scratch, 'out', digest)).equals(archive)).toBe(true);
  });
});
