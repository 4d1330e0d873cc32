import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, parseDigest } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { directory, file, layerArchive } from '../apply/testing/crafted-layer.js';
import { openDescriptors, refusal, TestDirectory } from '../apply/testing/test-tree.js';
import { JobControl } from './job-control.js';
import type { AppliedBlob, BlobSource, Job } from './jobs.js';
import { runJob } from './run-job.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

const tar = layerArchive(directory('d'), file('d/f', 'content'), file('g', 'x'.repeat(5000)));
const gzip = gzipSync(tar);
const wrong = parseDigest(`sha256:${'0'.repeat(64)}`);

let test: TestDirectory;
beforeEach(() => {
  test = new TestDirectory();
});
afterEach(() => {
  test[Symbol.dispose]();
});

function control(): JobControl {
  return new JobControl(new Int32Array(new SharedArrayBuffer(4)), () => undefined);
}

function blob(bytes: Buffer): { path: string } {
  const path = join(test.path, `blob-${createHash('sha256').update(bytes).digest('hex')}`);
  writeFileSync(path, bytes);
  return { path };
}

function apply(source: BlobSource, rest: Partial<Job<'apply'>> = {}): AppliedBlob {
  const tree = { path: test.tree(), dialect: 'overlay' } as const;
  return runJob({ kind: 'apply', source, compression: 'auto', tree, ...rest }, control());
}

asRoot('a layer blob that is applied (needs root)', () => {
  const zstd = (): Buffer => execFileSync('zstd', ['-q', '-c'], { input: tar });
  it.each([
    ['plain', () => tar],
    ['gzip', () => gzip],
    ['zstd', zstd],
  ])('is verified on the way, %s', (_, make) => {
    const bytes = make();
    const expected = { digest: digestOf(bytes), size: bytes.length, diffId: digestOf(tar) };
    const applied = apply(blob(bytes), { expect: expected });
    expect(applied).toMatchObject({
      blobDigest: expected.digest,
      blobSize: bytes.length,
      diffId: expected.diffId,
      tarSize: tar.length,
      entries: 3,
    });
  });

  it('may be a range of a file', () => {
    const { path } = blob(Buffer.concat([Buffer.alloc(777, 'before'), gzip, Buffer.alloc(888, 'after')]));
    const applied = apply({ path, offset: 777, length: gzip.length }, { expect: { digest: digestOf(gzip) } });
    expect(applied).toMatchObject({ blobDigest: digestOf(gzip), blobSize: gzip.length, diffId: digestOf(tar) });
  });

  it('is measured to its end, whatever follows the archive in it', () => {
    const padded = Buffer.concat([tar, Buffer.alloc(100_000)]);
    expect(apply(blob(padded))).toMatchObject({ blobSize: padded.length, diffId: digestOf(padded) });
    const twice = Buffer.concat([gzip, Buffer.alloc(5000)]);
    expect(apply(blob(twice), { expect: { digest: digestOf(twice) } })).toMatchObject({
      blobSize: twice.length,
      diffId: digestOf(tar),
    });
  });

  const slowly = (path: string): string => `head -c 100 ${path}; sleep 0.2; tail -c +101 ${path}`;
  const expected = { size: gzip.length, digest: digestOf(gzip) };

  it('may come through a socket, slowly', async () => {
    const child = spawn('sh', ['-c', slowly(blob(gzip).path)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const stream = child.stdout as unknown as { readonly _handle: { readonly fd: number } };
    expect(apply({ fd: stream._handle.fd }, { expect: expected }).diffId).toBe(digestOf(tar));
    child.stdout.destroy();
    await once(child, 'exit');
  });

  it('may come through a pipe, slowly', async () => {
    const pipe = join(test.path, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const child = spawn('sh', ['-c', `(${slowly(blob(gzip).path)}) >${pipe}`], { stdio: 'inherit' });
    const fd = openSync(pipe, 'r');
    expect(apply({ fd }, { expect: expected }).diffId).toBe(digestOf(tar));
    closeSync(fd);
    await once(child, 'exit');
  });
});

asRoot('a layer blob that is not what was announced (needs root)', () => {
  it('has the wrong size: said before anything is unpacked, and before its digest', () => {
    const tree = { path: test.tree(), dialect: 'overlay' } as const;
    const error = refusal(() => apply(blob(gzip), { tree, expect: { size: gzip.length - 1, digest: wrong } }));
    expect(error.code).toBe('ERR_SIZE_MISMATCH');
    expect(readdirSync(tree.path)).toEqual([]);
  });

  it('has the wrong digest', () => {
    const error = refusal(() => apply(blob(gzip), { expect: { size: gzip.length, digest: wrong, diffId: wrong } }));
    expect(error).toMatchObject({ code: 'ERR_DIGEST_MISMATCH', subject: wrong });
    expect(error.message).toContain(digestOf(gzip));
  });

  it('has the right digest and the wrong diff ID', () => {
    const error = refusal(() => apply(blob(gzip), { expect: { digest: digestOf(gzip), diffId: wrong } }));
    expect(error).toMatchObject({ code: 'ERR_DIGEST_MISMATCH', subject: wrong });
    expect(error.message).toContain(digestOf(tar));
  });

  it.each([
    ['cut short', gzip.subarray(0, 200)],
    ['damaged', Buffer.concat([gzip.subarray(0, 150), Buffer.from('damage'), gzip.subarray(156)])],
    ['something else', Buffer.from('<html>not found</html>')],
    ['a hostile archive', layerArchive(file('../x'))],
  ])('is %s: the digest error tells it, what is wrong inside is its cause', (_, bytes) => {
    const error = refusal(() => apply(blob(bytes), { expect: { digest: digestOf(gzip) } }));
    expect(error.code).toBe('ERR_DIGEST_MISMATCH');
    expect(error.cause).toMatchObject({
      code: expect.stringMatching(/^ERR_(TRUNCATED|MALFORMED_ARCHIVE|ARCHIVE_ESCAPE)$/) as string,
    });
  });

  it('is bad although its digest is right: then what is wrong inside is the error', () => {
    const bytes = gzip.subarray(0, 200);
    expect(refusal(() => apply(blob(bytes), { expect: { digest: digestOf(bytes) } })).code).toBe('ERR_TRUNCATED');
  });

  it('is shorter than the range that should hold it', () => {
    const { path } = blob(gzip);
    expect(refusal(() => apply({ path, offset: 10, length: gzip.length })).code).toBe('ERR_TRUNCATED');
  });

  it('is a stream without end: it is left as soon as there is more than was announced', () => {
    const fd = openSync('/dev/zero', 'r');
    try {
      expect(refusal(() => apply({ fd }, { expect: { size: 5_000_000 } })).code).toBe('ERR_SIZE_MISMATCH');
    } finally {
      closeSync(fd);
    }
  });

  it('is missing', () => {
    expect(refusal(() => apply({ path: join(test.path, 'none') }))).toMatchObject({
      code: 'ERR_IO',
      subject: join(test.path, 'none'),
    });
  });

  it('leaves no descriptor open and no tar-split file', () => {
    const before = openDescriptors();
    const tarSplitPath = join(test.path, 'split');
    refusal(() => apply(blob(gzip), { tarSplitPath, expect: { size: 1 } }));
    refusal(() => apply(blob(gzip.subarray(0, 200)), { tarSplitPath, expect: { digest: wrong } }));
    expect(openDescriptors()).toBe(before);
    expect(readdirSync(test.path)).not.toContain('split');
  });
});
