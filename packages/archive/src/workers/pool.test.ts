import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync, closeSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, hasCode, StoreError } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer } from '../apply/apply-layer.js';
import { directory, file, layerArchive } from '../apply/testing/crafted-layer.js';
import { TestDirectory } from '../apply/testing/test-tree.js';
import { listTree } from '../apply/testing/tree-listing.js';
import { ArchiveThread } from './archive-thread.js';
import { ArchiveWorkers } from './pool.js';

const asRoot = describe.skipIf(process.getuid?.() !== 0);

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

function saved(name: string, bytes: Buffer | string): string {
  const path = join(test.path, name);
  writeFileSync(path, bytes);
  return path;
}

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  try {
    await promise;
  } catch (error) {
    if (StoreError.is(error)) return error;
    throw error;
  }
  throw new Error('THE JOB SUCCEEDED');
}

/** A pipe that nobody writes to: a job that reads it waits until it is cancelled. */
function silentPipe(): { fd: number; path: string; close: () => void } {
  const path = join(test.path, 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR);
  return { fd, path, close: () => closeSync(fd) };
}

/** A program of its own, with `workers` in it. */
const script = (body: string): string => `
  const { ArchiveWorkers } = await import(${JSON.stringify(new URL('../../dist/workers/pool.js', import.meta.url).href)});
  const workers = new ArchiveWorkers();
  ${body}
`;

asRoot('archive threads (needs root)', () => {
  it('give the same result as a call in this thread', async () => {
    const tar = layerArchive(directory('d', { mode: 0o1777 }), file('d/f', 'x'.repeat(100_000)));
    const here = applyLayer([tar], { tree: { path: test.tree(), dialect: 'overlay' } });
    const path = test.tree();
    const progress: number[] = [];
    const gzip = gzipSync(tar);
    const there = await workers.run(
      { kind: 'apply', source: { path: saved('blob', gzip) }, compression: 'auto', tree: { path, dialect: 'overlay' } },
      { onProgress: (done) => progress.push(done) },
    );
    expect(there).toEqual({ ...here, blobDigest: digestOf(gzip), blobSize: gzip.length });
    expect(progress.at(-1)).toBe(gzip.length);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
  });

  it('set modes right under a umask that belongs to the whole process', () => {
    const program = script(`
      process.umask(0o077);
      const tree = { path: process.argv[2], dialect: 'overlay' };
      await workers.run({ kind: 'apply', source: { path: process.argv[1] }, compression: 'none', tree });
    `);
    const blob = saved(
      'blob',
      layerArchive(directory('d', { mode: 0o777 }), file('d/f', 'x', { mode: 0o666 }), file('e/f', 'x')),
    );
    const path = test.tree();
    execFileSync(process.execPath, ['--input-type=module', '-e', program, blob, path], { stdio: 'inherit' });
    expect(listTree(path)).toMatchObject({
      d: expect.stringContaining('directory 0777') as string,
      'd/f': expect.stringContaining('file 0666') as string,
      e: expect.stringContaining('directory 0755') as string,
    });
  });

  it('give names of changes as bytes', async () => {
    const name = Buffer.from([0x66, 0xff]);
    const { path } = test.apply([file(name, 'x')]);
    const changes = await workers.run({ kind: 'changes', diff: { upper: { path, dialect: 'overlay' }, lowers: [] } });
    expect(changes).toEqual([{ kind: 'add', path: Buffer.concat([Buffer.from('/'), name]) }]);
    expect(Buffer.isBuffer(changes[0]?.path)).toBe(true);
  });
});

describe('archive threads', () => {
  it('run more jobs than there are threads', async () => {
    const paths = Array.from({ length: 20 }, (_, index) => saved(`f${index}`, `content ${index}`));
    const results = await Promise.all(paths.map((path) => workers.run({ kind: 'hash', source: { path } })));
    expect(results.map(({ digest }) => digest)).toEqual(paths.map((path) => digestOf(readFileSync(path))));
  });

  it('hand errors over whole', async () => {
    const error = await failure(workers.run({ kind: 'hash', source: { path: join(test.path, 'none') } }));
    expect(error).toMatchObject({ code: 'ERR_IO', subject: join(test.path, 'none') });
    expect(error.message).toMatch(/none: .*ENOENT/);
    expect(await workers.run({ kind: 'hash', source: { path: saved('f', 'x') } })).toMatchObject({ size: 1 });
  });

  it('refuse a job that was cancelled before', async () => {
    const signal = AbortSignal.abort(new Error('not wanted'));
    expect((await failure(workers.run({ kind: 'sync', path: test.path }, { signal }))).code).toBe('ERR_ABORTED');
  });

  it('stop a running job, and only that', async () => {
    const pipe = silentPipe();
    const stop = new AbortController();
    const tarSplitPath = join(test.path, 'split');
    const tree = { path: test.tree(), dialect: 'overlay' } as const;
    const waiting = failure(
      workers.run(
        { kind: 'apply', source: { fd: pipe.fd }, compression: 'none', tree, tarSplitPath },
        { signal: stop.signal },
      ),
    );
    expect(await workers.run({ kind: 'hash', source: { path: saved('f', 'x') } })).toMatchObject({ size: 1 });
    stop.abort(new Error('not wanted'));
    expect(await waiting).toMatchObject({ code: 'ERR_ABORTED', cause: { message: 'not wanted' } });
    expect(existsSync(tarSplitPath)).toBe(false);
    pipe.close();
  });

  it('take a cancelled job out of the queue', async () => {
    const pipe = silentPipe();
    const stop = new AbortController();
    const running = [1, 2].map(() =>
      failure(workers.run({ kind: 'hash', source: { fd: pipe.fd } }, { signal: stop.signal })),
    );
    const leave = new AbortController();
    const queued = failure(workers.run({ kind: 'hash', source: { fd: pipe.fd } }, { signal: leave.signal }));
    const next = workers.run({ kind: 'hash', source: { path: saved('f', 'x') } });
    leave.abort();
    expect((await queued).code).toBe('ERR_ABORTED');
    stop.abort();
    await Promise.all(running);
    expect(await next).toMatchObject({ size: 1 });
    pipe.close();
  });

  it('that are closed stop what runs, refuse what waits, and take nothing more', async () => {
    const pipe = silentPipe();
    const sources = [{ fd: pipe.fd }, { path: pipe.path }, { fd: pipe.fd }];
    const jobs = sources.map((source) => failure(workers.run({ kind: 'hash', source })));
    await workers[Symbol.asyncDispose]();
    for (const job of jobs) expect((await job).code).toBe('ERR_CLOSED');
    expect((await failure(workers.run({ kind: 'sync', path: test.path }))).code).toBe('ERR_CLOSED');
    pipe.close();
  });

  it('can be closed twice, and without ever having run', async () => {
    await workers[Symbol.asyncDispose]();
    await workers[Symbol.asyncDispose]();
    expect(hasCode(await failure(workers.run({ kind: 'sync', path: '/' })), 'ERR_CLOSED')).toBe(true);
  });
});

describe('a thread that dies', () => {
  const dying = (): ArchiveThread =>
    new ArchiveThread(
      new URL(
        'data:text/javascript,import{parentPort}from"node:worker_threads";parentPort.on("message",()=>process.exit(7))',
      ),
    );

  it('fails its job with ERR_INTERNAL', async () => {
    const error = await failure(dying().run({ kind: 'sync', path: '/' }));
    expect(error.code).toBe('ERR_INTERNAL');
  });

  it('of an error fails its job with that error as the cause', async () => {
    const thread = new ArchiveThread(new URL('data:text/javascript,throw new Error("no such luck")'));
    expect(await failure(thread.run({ kind: 'sync', path: '/' }))).toMatchObject({
      code: 'ERR_INTERNAL',
      cause: { message: 'no such luck' },
    });
  });

  it('is replaced for the jobs that wait', async () => {
    let started = 0;
    class Pool extends ArchiveWorkers {
      protected override startThread(): ArchiveThread {
        return started++ === 0 ? dying() : super.startThread();
      }
    }
    await using pool = new Pool({ threads: 1 });
    const lost = failure(pool.run({ kind: 'sync', path: '/' }));
    const path = saved('f', 'x');
    const next = [1, 2].map(() => pool.run({ kind: 'hash', source: { path } }));
    expect((await lost).code).toBe('ERR_INTERNAL');
    for (const result of await Promise.all(next)) expect(result.size).toBe(1);
    expect(started).toBe(2);
  });

  it('while it is idle is not given a job', async () => {
    const idle = new ArchiveThread(new URL('data:text/javascript,'));
    while (idle.alive) await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await failure(idle.run({ kind: 'sync', path: '/' }))).code).toBe('ERR_INTERNAL');
  });
});

describe('the process', () => {
  it('ends while threads are idle', () => {
    const body = `await workers.run({ kind: 'hash', source: { path: process.execPath } }); console.log('done');`;
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script(body)], {
      timeout: 240_000,
    });
    expect({ stdout: stdout.toString(), status }).toEqual({ stdout: 'done\n', status: 0 });
  });

  it('does not end while a job runs', async () => {
    const path = join(test.path, 'pipe');
    execFileSync('mkfifo', [path]);
    const body = `workers.run({ kind: 'hash', source: { path: ${JSON.stringify(path)} } }).then(({ size }) => console.log(size));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script(body)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = child.stdout.setEncoding('utf8').toArray();
    // Returns when the job has opened the other end.
    const writer = openSync(path, constants.O_WRONLY);
    await new Promise((resolve) => setTimeout(resolve, 500));
    writeFileSync(writer, 'late');
    closeSync(writer);
    expect((await output).join('')).toBe('4\n');
  });
});
