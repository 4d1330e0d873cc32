import type { StoreError } from '@layerstore/core';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileLock } from './file-lock.js';
import { nativeSyscalls } from './native-syscalls.js';
import { RecordingSyscalls } from './recording-syscalls.js';

const code = (name: string): StoreError => expect.objectContaining({ code: name }) as StoreError;

describe.skipIf(process.platform !== 'linux')('FileLock (Linux only)', () => {
  let base: string;
  let path: string;

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'file-lock-'));
    path = join(base, 'lock');
  });
  afterEach(() => rmSync(base, { recursive: true }));

  it('excludes a second holder until it is released', async () => {
    const lock = await FileLock.acquire(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await FileLock.tryAcquire(path)).toBeUndefined();
    expect(await FileLock.tryAcquire(path, { shared: true })).toBeUndefined();
    const waiting = FileLock.acquire(path, { pollMs: 1 });
    lock.release();
    lock.release();
    await using next = await waiting;
    expect(next.path).toBe(path);
  });

  it('lets readers share, and keeps writers out meanwhile', async () => {
    await using one = await FileLock.acquire(path, { shared: true });
    expect(one.path).toBe(path);
    await using two = await FileLock.tryAcquire(path, { shared: true });
    expect(two).toBeDefined();
    expect(await FileLock.tryAcquire(path)).toBeUndefined();
  });

  it('is freed when the holding process is killed', async () => {
    const holder = spawn('flock', ['-x', path, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    await once(holder.stdout, 'data');
    expect(await FileLock.tryAcquire(path)).toBeUndefined();
    const waiting = FileLock.acquire(path, { pollMs: 1 });
    if (holder.pid !== undefined) process.kill(-holder.pid, 'SIGKILL');
    await using lock = await waiting;
    expect(lock.path).toBe(path);
  });

  it('is not inherited by programs that are started meanwhile', async () => {
    const lock = await FileLock.acquire(path);
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    lock.release();
    const again = await FileLock.tryAcquire(path);
    expect(again).toBeDefined();
    again?.release();
    child.kill('SIGKILL');
    await once(child, 'close');
  });

  it('stops waiting when it is cancelled', async () => {
    const held = await FileLock.acquire(path);
    const controller = new AbortController();
    const waiting = FileLock.acquire(path, { signal: controller.signal, pollMs: 10_000 });
    controller.abort();
    await expect(waiting).rejects.toThrow(code('ERR_ABORTED'));
    await expect(FileLock.acquire(path, { signal: controller.signal })).rejects.toThrow(code('ERR_ABORTED'));
    held.release();
  });

  it('never holds a file that was removed between opening and locking', async () => {
    const first = await FileLock.acquire(path);
    const native = nativeSyscalls();
    let removed = false;
    const racing = new RecordingSyscalls({
      ...native,
      flock(fd, operation) {
        if (!removed) {
          removed = true;
          first.remove();
        }
        return native.flock(fd, operation);
      },
    });
    const second = await FileLock.tryAcquire(path, { syscalls: racing });
    expect(second).toBeDefined();
    expect(racing.argumentsOf('openat')).toHaveLength(2);
    expect(await FileLock.tryAcquire(path)).toBeUndefined();
    second?.remove();
    expect(existsSync(path)).toBe(false);
    expect(() => second?.remove()).toThrow(code('ERR_CLOSED'));
  });

  it('gives every one of many contenders its turn, though each removes the file', async () => {
    let holders = 0;
    let most = 0;
    const turn = async (): Promise<void> => {
      const lock = await FileLock.acquire(path, { pollMs: 1 });
      most = Math.max(most, ++holders);
      await new Promise(setImmediate);
      holders--;
      lock.remove();
    };
    await Promise.all(Array.from({ length: 20 }, turn));
    expect(most).toBe(1);
  });

  it('refuses a symlink and a missing directory, with the path', async () => {
    symlinkSync('elsewhere', join(base, 'link'));
    await expect(FileLock.acquire(join(base, 'link'))).rejects.toThrow(code('ERR_IO'));
    await expect(FileLock.tryAcquire(join(base, 'no/lock'))).rejects.toThrow(/no\/lock: ENOENT/);
    expect(existsSync(join(base, 'elsewhere'))).toBe(false);
  });

  it('closes the file when locking fails', async () => {
    const failing = new RecordingSyscalls();
    failing.fail('flock', 'EIO');
    await expect(FileLock.tryAcquire(path, { syscalls: failing })).rejects.toThrow(code('ERR_IO'));
    expect(failing.names).toEqual(['openat', 'flock', 'close']);
  });
});
