import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, parseDigest, StoreError, type ErrorCode } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer, type AppliedLayer } from '../apply/apply-layer.js';
import { directory, file, layerArchive } from '../apply/testing/crafted-layer.js';
import { TestDirectory } from '../apply/testing/test-tree.js';
import { listTree } from '../apply/testing/tree-listing.js';
import type { AppliedBlob, Expectation } from './jobs.js';
import { ArchiveWorkers } from './pool.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

/** Longer than all slots of the ring together, so that both sides have to wait for each other. */
const noise = randomBytes(3_000_000).toString('latin1');
const tar = layerArchive(
  directory('d'),
  file('d/first', noise),
  file('second', noise.slice(0, 1000)),
  file('third', noise),
);
const gzip = gzipSync(tar, { level: 1 });
const wrong = parseDigest(`sha256:${'0'.repeat(64)}`);

let test: TestDirectory;
let workers: ArchiveWorkers;
beforeEach(() => {
  test = new TestDirectory();
  workers = new ArchiveWorkers({ threads: 2 });
});
afterEach(async () => {
  await workers[Symbol.asyncDispose]();
  test[Symbol.dispose]();
});

function apply(
  bytes: Buffer,
  how: { paired: boolean; expect?: Expectation; signal?: AbortSignal },
): Promise<AppliedBlob & { path: string }> {
  const blob = join(test.path, 'blob');
  writeFileSync(blob, bytes);
  const path = test.tree();
  const { paired, signal, expect: expected } = how;
  return workers
    .run(
      {
        kind: 'apply',
        source: { path: blob },
        compression: 'auto',
        tree: { path, dialect: 'overlay' },
        tarSplitPath: `${path}.tar-split`,
        ...(expected === undefined ? {} : { expect: expected }),
      },
      { paired, ...(signal === undefined ? {} : { signal }) },
    )
    .then((applied) => ({ ...applied, path }));
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | 'success'> {
  try {
    await promise;
    return 'success';
  } catch (error) {
    if (StoreError.is(error)) return error.code;
    throw error;
  }
}

asRoot('an apply in two threads (needs root)', () => {
  it.each([
    ['plain', tar],
    ['gzip', gzip],
  ])('gives what one thread gives, %s', async (_, bytes) => {
    const expected = { digest: digestOf(bytes), size: bytes.length, diffId: digestOf(tar) };
    const { path: alone, ...one } = await apply(bytes, { paired: false, expect: expected });
    const { path: together, ...two } = await apply(bytes, { paired: true, expect: expected });
    expect(two).toEqual(one);
    expect(listTree(together)).toEqual(listTree(alone));
    expect(readFileSync(`${together}.tar-split`).equals(readFileSync(`${alone}.tar-split`))).toBe(true);
  });

  it('names the digest of a plain tar of which none was announced', async () => {
    expect((await apply(tar, { paired: true })).blobDigest).toBe(digestOf(tar));
  });

  const damaged = Buffer.from(gzip);
  damaged.writeUInt8((damaged.readUInt8(2_000_000) ^ 0xff) & 0xff, 2_000_000);
  const unsafe = gzipSync(layerArchive(file('a', noise), file('../escape', 'x'), file('b', noise)));
  it.each<[string, Buffer, Expectation, ErrorCode]>([
    ['a wrong size', gzip, { size: gzip.length + 1, digest: wrong }, 'ERR_SIZE_MISMATCH'],
    ['a wrong digest', gzip, { digest: wrong }, 'ERR_DIGEST_MISMATCH'],
    ['a wrong digest, though the content is damaged too', damaged, { digest: digestOf(gzip) }, 'ERR_DIGEST_MISMATCH'],
    ['damage', damaged, { digest: digestOf(damaged) }, 'ERR_MALFORMED_ARCHIVE'],
    ['truncation', gzip.subarray(0, 3_000_000), {}, 'ERR_TRUNCATED'],
    ['a member that escapes', unsafe, { digest: digestOf(unsafe) }, 'ERR_ARCHIVE_ESCAPE'],
    ['a wrong digest, though a member escapes', unsafe, { digest: wrong }, 'ERR_DIGEST_MISMATCH'],
    ['a wrong diff ID', gzip, { diffId: wrong }, 'ERR_DIGEST_MISMATCH'],
  ])('fails as one thread fails: %s', async (_, bytes, expected, code) => {
    expect(await codeOf(apply(bytes, { paired: false, expect: expected }))).toBe(code);
    expect(await codeOf(apply(bytes, { paired: true, expect: expected }))).toBe(code);
  });

  it('ends both halves when it is cancelled, and the threads go on to other work', async () => {
    const stop = new AbortController();
    const running = apply(gzip, { paired: true, signal: stop.signal });
    setTimeout(() => stop.abort(), 5);
    expect(['ERR_ABORTED', 'success']).toContain(await codeOf(running));
    expect((await apply(gzip, { paired: true })).diffId).toBe(digestOf(tar));
  });

  it('takes one thread when another job has the second', async () => {
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => apply(gzip, { paired: true })));
    expect([one?.diffId, two?.diffId, three?.diffId]).toEqual([digestOf(tar), digestOf(tar), digestOf(tar)]);
  });
});

asRoot('a commit in two threads (needs root)', () => {
  it('gives what one thread gives', async () => {
    const upper = test.tree();
    applyLayer([tar], { tree: { path: upper, dialect: 'overlay' } });
    const diff = { upper: { path: upper, dialect: 'overlay' }, lowers: [] } as const;
    const commit = async (paired: boolean): Promise<{ path: string; result: AppliedLayer }> => {
      const path = test.tree();
      const tarSplitPath = `${path}.tar-split`;
      const result = await workers.run(
        { kind: 'commit', diff, tree: { path, dialect: 'overlay' }, tarSplitPath },
        { paired },
      );
      return { path, result };
    };
    const alone = await commit(false);
    const together = await commit(true);
    expect(together.result).toEqual(alone.result);
    expect(listTree(together.path)).toEqual(listTree(alone.path));
    expect(readFileSync(`${together.path}.tar-split`)).toEqual(readFileSync(`${alone.path}.tar-split`));
  });

  it('names the fault of the source, and ends both threads', async () => {
    const diff = { upper: { path: join(test.path, 'absent'), dialect: 'overlay' }, lowers: [] } as const;
    const tree = { path: test.tree(), dialect: 'overlay' } as const;
    await expect(workers.run({ kind: 'commit', diff, tree }, { paired: true })).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('absent') as string,
    });
    expect(await codeOf(workers.run({ kind: 'changes', diff: { upper: tree, lowers: [] } }))).toBe('success');
  });

  it('names the fault of the target', async () => {
    const upper = test.tree();
    applyLayer([tar], { tree: { path: upper, dialect: 'overlay' } });
    const diff = { upper: { path: upper, dialect: 'overlay' }, lowers: [] } as const;
    await expect(
      workers.run({ kind: 'commit', diff, tree: { path: upper, dialect: 'overlay' } }, { paired: true }),
    ).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  });
});
