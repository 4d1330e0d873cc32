import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestDirectory } from '../apply/testing/test-tree.js';
import { listTree } from '../apply/testing/tree-listing.js';
import type { DiffSource } from '../layer-tree.js';
import type { ArchiveThread } from './archive-thread.js';
import { ArchiveWorkers } from './pool.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

class CountingWorkers extends ArchiveWorkers {
  started = 0;

  protected override startThread(): ArchiveThread {
    this.started += 1;
    return super.startThread();
  }
}

let test: TestDirectory;
let workers: CountingWorkers;
beforeEach(() => {
  test = new TestDirectory();
  workers = new CountingWorkers({ threads: 2, smallJobs: 'caller' });
});
afterEach(async () => {
  await workers[Symbol.asyncDispose]();
  test[Symbol.dispose]();
});

/** A layer with some directories, links and files, the largest of the given size. */
function layer(largest: number): DiffSource {
  const path = test.tree();
  for (const name of ['a', 'b', 'a/deep']) mkdirSync(join(path, name));
  for (let number = 0; number < 20; number += 1) writeFileSync(join(path, 'a/deep', `${number}`), `${number}\n`);
  writeFileSync(join(path, 'b/large'), Buffer.alloc(largest, 'x'));
  return { upper: { path, dialect: 'overlay' }, lowers: [] };
}

async function commit(diff: DiffSource, by: ArchiveWorkers): Promise<{ diffId: string; listing: unknown }> {
  const path = test.tree();
  const { diffId } = await by.run({ kind: 'commit', diff, tree: { path, dialect: 'overlay' } }, { paired: true });
  return { diffId, listing: listTree(path) };
}

asRoot('small jobs in the calling thread (needs root)', () => {
  it('start no thread and give what threads give', async () => {
    const diff = layer(100_000);
    await using threads = new ArchiveWorkers({ threads: 2 });
    expect(await commit(diff, workers)).toEqual(await commit(diff, threads));
    expect(await workers.run({ kind: 'changes', diff })).toEqual(await threads.run({ kind: 'changes', diff }));
    expect(await workers.run({ kind: 'diff-size', diff })).toBe(await threads.run({ kind: 'diff-size', diff }));
    await workers.run({ kind: 'remove-tree', path: join(diff.upper.path, 'a') });
    expect(readdirSync(diff.upper.path)).toEqual(['b']);
    expect(workers.started).toBe(0);
  });

  it('are left to threads when they turn out to be large', async () => {
    const diff = layer(9_000_000);
    await using threads = new ArchiveWorkers({ threads: 2 });
    expect(await commit(diff, workers)).toEqual(await commit(diff, threads));
    expect(workers.started).toBeGreaterThan(0);
  });

  it('delete no tree with many entries there', async () => {
    const path = test.tree();
    for (let number = 0; number < 600; number += 1) writeFileSync(join(path, `${number}`), '');
    await workers.run({ kind: 'remove-tree', path });
    expect(workers.started).toBe(1);
  });

  it('throw what the job throws', async () => {
    const absent: DiffSource = { upper: { path: join(test.path, 'absent'), dialect: 'overlay' }, lowers: [] };
    await expect(workers.run({ kind: 'changes', diff: absent })).rejects.toMatchObject({ code: 'ERR_IO' });
    expect(workers.started).toBe(0);
  });

  it('are cancelled by what came while they ran', async () => {
    const stop = new AbortController();
    const cancelled = workers.run({ kind: 'changes', diff: layer(10) }, { signal: stop.signal });
    void setImmediate().then(() => stop.abort());
    await expect(cancelled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
