import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { digestOf } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { directory, file, layerArchive, symlink } from '../apply/testing/crafted-layer.js';
import { refusal, TestDirectory } from '../apply/testing/test-tree.js';
import { listTree } from '../apply/testing/tree-listing.js';
import { JobControl } from './job-control.js';
import type { Job, JobKind, JobResult, StoredLayer } from './jobs.js';
import { runJob } from './run-job.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

const reports: number[] = [];
function run<Kind extends JobKind>(job: Job<Kind>): JobResult<Kind> {
  reports.length = 0;
  return runJob(job, new JobControl(new Int32Array(new SharedArrayBuffer(4)), (done) => reports.push(done)));
}

const tar = layerArchive(
  directory('d'),
  file('d/f', 'content'),
  symlink('way', 'd'),
  file('way/g', 'x'.repeat(3_000_000)),
  file('d/f', 'again'),
);

function stored(): StoredLayer {
  const path = test.tree();
  const blob = `${path}.tar`;
  writeFileSync(blob, tar);
  const tree = { path, dialect: 'overlay' } as const;
  const tarSplitPath = `${path}.tar-split`;
  const applied = run({ kind: 'apply', source: { path: blob }, compression: 'none', tree, tarSplitPath });
  run({ kind: 'settle', deferred: applied.deferred, tree, lowers: [] });
  return { tarSplitPath, tree, diffId: applied.diffId, size: applied.tarSize };
}

asRoot('a stored layer (needs root)', () => {
  it('is written bit for bit between other parts', () => {
    const layer = stored();
    const other = join(test.path, 'other');
    writeFileSync(other, '0123456789');
    const to = join(test.path, 'out');
    const written = run({
      kind: 'write',
      to: { path: to },
      parts: [
        { kind: 'bytes', data: Buffer.from('head') },
        { kind: 'layer', ...layer },
        { kind: 'file', path: other },
        { kind: 'file', path: other, offset: 2, length: 3 },
      ],
    });
    const expected = Buffer.concat([Buffer.from('head'), tar, Buffer.from('0123456789234')]);
    expect(readFileSync(to).equals(expected)).toBe(true);
    expect(written).toEqual({ digest: digestOf(expected), size: expected.length });
    expect(reports.at(-1)).toBe(expected.length);
  });

  it('is written to a descriptor, which stays open', () => {
    const to = openSync(join(test.path, 'out'), 'w');
    const layer = stored();
    run({ kind: 'write', to: { fd: to }, parts: [{ kind: 'layer', ...layer }] });
    run({ kind: 'write', to: { fd: to }, parts: [{ kind: 'bytes', data: Buffer.from('tail') }] });
    closeSync(to);
    expect(readFileSync(join(test.path, 'out')).equals(Buffer.concat([tar, Buffer.from('tail')]))).toBe(true);
  });

  it('is compressed, and the progress counts what was read', () => {
    const to = join(test.path, 'out.gz');
    const written = run({ kind: 'compress', layer: stored(), to, compression: 'gzip' });
    const bytes = readFileSync(to);
    expect(gunzipSync(bytes).equals(tar)).toBe(true);
    expect(written).toEqual({ digest: digestOf(bytes), size: bytes.length });
    expect(reports.at(-1)).toBe(tar.length);
  });

  it('passes verification', () => {
    run({ kind: 'verify', ...stored() });
    expect(reports.at(-1)).toBe(tar.length);
  });

  it.each<[string, (path: string) => void]>([
    ['a changed file', (path) => writeFileSync(join(path, 'd/f'), 'AGAIN')],
    ['a longer file', (path) => writeFileSync(join(path, 'd/f'), 'again and again')],
    ['a missing file', (path) => rmSync(join(path, 'd/g'))],
    [
      'a file that became a directory',
      (path) => {
        rmSync(join(path, 'd/g'));
        mkdirSync(join(path, 'd/g'));
      },
    ],
    ['a missing directory', (path) => rmSync(path, { recursive: true })],
  ])('fails verification and is not written after the damage: %s', (_, damage) => {
    const layer = stored();
    damage(layer.tree.path);
    expect(refusal(() => run({ kind: 'verify', ...layer }))).toMatchObject({
      code: 'ERR_STORE_DAMAGED',
      subject: layer.diffId,
    });
    expect(
      refusal(() => run({ kind: 'write', to: { path: join(test.path, 'out') }, parts: [{ kind: 'layer', ...layer }] }))
        .code,
    ).toBe('ERR_STORE_DAMAGED');
  });

  it('fails verification when its tar-split file is missing, or belongs to another layer', () => {
    const layer = stored();
    expect(refusal(() => run({ kind: 'verify', ...layer, diffId: digestOf('other') })).code).toBe('ERR_STORE_DAMAGED');
    rmSync(layer.tarSplitPath);
    expect(refusal(() => run({ kind: 'verify', ...layer })).code).toBe('ERR_STORE_DAMAGED');
  });
});

asRoot('a changed layer (needs root)', () => {
  const changed = (): { diff: Job<'changes'>['diff']; lower: string } => {
    const { path: lower } = test.apply([directory('d', { modifiedNs: 5n }), file('d/old', 'old'), file('gone', 'x')]);
    const { path: upper } = test.apply([
      directory('d', { modifiedNs: 5n }),
      file('d/old', 'new'),
      file('fresh', 'y'),
      file('.wh.gone'),
    ]);
    return {
      diff: { upper: { path: upper, dialect: 'overlay' }, lowers: [{ path: lower, dialect: 'overlay' }] },
      lower,
    };
  };

  it('lists its changes and their size', () => {
    const { diff } = changed();
    const changes = run({ kind: 'changes', diff }).map(({ kind, path }) => `${kind} ${path.toString()}`);
    expect(changes).toEqual(expect.arrayContaining(['add /fresh', 'modify /d/old', 'delete /gone']) as string[]);
    expect(run({ kind: 'diff-size', diff })).toBe(4);
  });

  it('is committed in one pass: the new layer has the tar that the differences are written as', () => {
    const { diff } = changed();
    const to = join(test.path, 'diff.tar');
    const written = run({ kind: 'diff', diff, to: { path: to } });
    const tree = { path: test.tree(), dialect: 'overlay' } as const;
    const tarSplitPath = `${tree.path}.tar-split`;
    const applied = run({ kind: 'commit', diff, tree, tarSplitPath });
    expect(applied).toMatchObject({ diffId: written.digest, tarSize: written.size, contentSize: 4 });
    run({ kind: 'settle', deferred: applied.deferred, tree, lowers: diff.lowers });
    run({ kind: 'verify', tree, tarSplitPath, diffId: applied.diffId, size: applied.tarSize });
    expect(readdirSync(tree.path)).toEqual(['d', 'fresh', 'gone']);
  });
});

asRoot('a tree (needs root)', () => {
  it('is exported as a tar, copied, removed and synced', () => {
    const { path } = test.apply([directory('d'), file('d/f', 'content')]);
    utimesSync(path, 5, 5);
    const to = join(test.path, 'out.tar');
    const { digest, size } = run({ kind: 'export', path, to: { path: to } });
    expect({ digest, size }).toEqual({ digest: digestOf(readFileSync(to)), size: readFileSync(to).length });
    expect(run({ kind: 'hash', source: { path: to } })).toEqual({ digest, size });
    const copy = test.tree();
    run({ kind: 'copy-tree', from: path, to: copy });
    expect(listTree(copy)).toEqual(listTree(path));
    run({ kind: 'remove-tree', path: copy });
    expect(readdirSync(test.path)).not.toContain(copy.slice(test.path.length + 1));
    run({ kind: 'sync', path });
  });
});

describe('a job that is cancelled', () => {
  it('does not begin', () => {
    const stop = new Int32Array(new SharedArrayBuffer(4));
    stop[0] = 1;
    const cancelled = new JobControl(stop, () => undefined);
    expect(refusal(() => runJob({ kind: 'sync', path: '/' }, cancelled)).code).toBe('ERR_ABORTED');
  });

  it('reads no further chunk', () => {
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const path = join(test.path, 'big');
    writeFileSync(path, Buffer.alloc(8 << 20));
    let done = 0;
    const stopping = new JobControl(stop, (bytes) => {
      done = bytes;
      stop[0] = 1;
    });
    expect(refusal(() => runJob({ kind: 'hash', source: { path } }, stopping)).code).toBe('ERR_ABORTED');
    expect(done).toBe(1 << 20);
  });
});
