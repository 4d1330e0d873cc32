import { StoreError, type IdMaps, type IdRange } from '@layerstore/core';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { O_CLOEXEC, O_RDONLY } from '../constants.js';
import { AT_FDCWD, type Syscalls } from '../syscalls.js';

/** Without it, unshare(1) and cat(1) may not be found by a daemon. */
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

/**
 * A user namespace that maps owners in this way, as a descriptor; the caller closes it. A process with threads cannot
 * make one itself (unshare(2)), so a short-lived one does, and the descriptor keeps it. Cost: a process, some 5 ms.
 * @throws StoreError ERR_INVALID_ARGUMENT for ranges that the kernel refuses
 * @throws StoreError ERR_MISSING_PREREQUISITE when the kernel or the program unshare is lacking
 */
export async function openUserNamespace(sys: Syscalls, maps: IdMaps): Promise<number> {
  const child = spawn('unshare', ['--user', 'cat'], { stdio: ['pipe', 'pipe', 'ignore'], env: environment, cwd: '/' });
  const ended = once(child, 'close').catch((error: unknown) => {
    throw noNamespace(error);
  });
  try {
    await Promise.race([answered(child), ended]);
    if (child.pid === undefined || child.exitCode !== null) throw noNamespace();
    writeMap(child.pid, 'uid_map', maps.uids);
    writeMap(child.pid, 'gid_map', maps.gids);
    return sys.openat(AT_FDCWD, `/proc/${child.pid}/ns/user`, O_RDONLY | O_CLOEXEC);
  } finally {
    child.stdin.destroy();
    await ended;
  }
}

/** What it reads comes back only once unshare(1) has become cat(1), in the new namespace. */
async function answered(child: ChildProcessByStdio<Writable, Readable, null>): Promise<void> {
  child.stdin.on('error', () => undefined);
  child.stdin.write('.');
  await once(child.stdout, 'data');
}

function writeMap(pid: number, name: 'uid_map' | 'gid_map', ranges: readonly IdRange[]): void {
  const text = ranges.map(({ container, host, size }) => `${container} ${host} ${size}\n`).join('');
  try {
    writeFileSync(`/proc/${pid}/${name}`, text);
  } catch (cause) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the kernel refuses this map of owners', {
      subject: JSON.stringify(text.trim()),
      hint: 'ranges must not overlap, and hold ids from 0 to 4294967294',
      cause,
    });
  }
}

function noNamespace(cause?: unknown): StoreError {
  return new StoreError('ERR_MISSING_PREREQUISITE', 'no user namespace can be made, which mapped owners need', {
    hint: 'install util-linux, and see that the sysctl user.max_user_namespaces is not 0',
    cause,
  });
}
