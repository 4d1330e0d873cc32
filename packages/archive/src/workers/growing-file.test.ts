import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, StoreError } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { directory, file, layerArchive } from '../apply/testing/crafted-layer.js';
import { TestDirectory } from '../apply/testing/test-tree.js';
import { FileGrowth } from './growing-file.js';
import { ArchiveWorkers } from './pool.js';

const tar = layerArchive(directory('d'), file('d/f', 'content'), file('g', 'x'.repeat(3_000_000)));
const gzip = gzipSync(tar, { level: 0 });

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

function start(growth: FileGrowth, options: { paired?: boolean; signal?: AbortSignal } = {}) {
  const path = join(test.path, 'blob');
  writeFileSync(path, '');
  const tree = { path: test.tree(), dialect: 'overlay' } as const;
  const expect = { digest: digestOf(gzip), size: gzip.length, diffId: digestOf(tar) };
  const source = { path, growth: growth.memory };
  const applied = workers.run({ kind: 'apply', source, compression: 'auto', tree, expect }, options);
  return { path, applied };
}

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const error = await promise.catch((reason: unknown) => reason);
  if (StoreError.is(error)) return error;
  throw new Error('THE JOB SUCCEEDED');
}

describe.skipIf(process.getuid?.() !== 0)('a blob that is still being written (needs root)', () => {
  it.each([false, true])('is unpacked while it grows, in two threads: %s', async (paired) => {
    const growth = new FileGrowth();
    const { path, applied } = start(growth, { paired });
    for (let position = 0; position < gzip.length; position += 100_000) {
      appendFileSync(path, gzip.subarray(position, position + 100_000));
      growth.announce(Math.min(position + 100_000, gzip.length));
      await new Promise((resolve) => setImmediate(resolve));
    }
    growth.complete();
    expect(await applied).toMatchObject({ diffId: digestOf(tar), blobSize: gzip.length });
  });

  it('is not taken for complete when its writer failed', async () => {
    const growth = new FileGrowth();
    const { path, applied } = start(growth);
    appendFileSync(path, gzip.subarray(0, 1000));
    growth.announce(1000);
    growth.fail();
    expect(await failure(applied)).toMatchObject({ code: 'ERR_INTERNAL' });
  });

  it('is not read beyond what was announced', async () => {
    const growth = new FileGrowth();
    const { path, applied } = start(growth);
    writeFileSync(path, Buffer.concat([gzip, Buffer.from('not part of it')]));
    growth.announce(gzip.length);
    growth.complete();
    expect(await applied).toMatchObject({ blobSize: gzip.length });
  });

  it('is left at once when the job is cancelled while it waits', async () => {
    const controller = new AbortController();
    const { applied } = start(new FileGrowth(), { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    expect(await failure(applied)).toMatchObject({ code: 'ERR_ABORTED' });
  });
});
