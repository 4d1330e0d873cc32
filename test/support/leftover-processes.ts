import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Kills what a failed test has left: processes that name the directory on their command line (daemons, shims), and those whose root
 * file system lies in it (containers). Each by its own pid; nothing else of the machine is touched.
 * @throws Error when one of them does not go
 */
export function endProcessesOf(directory: string): void {
  for (let waited = 0; ; waited += 20) {
    const left = processesOf(directory);
    if (left.length === 0) return;
    if (waited > 10_000) throw new Error(`processes of ${directory} do not end: ${left.join(' ')}`);
    if (waited % 1000 === 0) for (const pid of left) kill(pid);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

function processesOf(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => textOf(pid, 'cmdline').includes(`${directory}/`) || hasRootIn(pid, directory))
    .map(Number);
}

/** Mounts of other directories are copied into many namespaces; only a root tells whose container it is. */
function hasRootIn(pid: string, directory: string): boolean {
  if (mountNamespace(pid) === mountNamespace('self')) return false;
  return textOf(pid, 'mountinfo')
    .split('\n')
    .some((line) => line.split(' ')[4] === '/' && line.includes(`${directory}/`));
}

function mountNamespace(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return '';
  }
}

/** Empty for a process that is gone, or that is ending. */
function textOf(pid: string, file: 'cmdline' | 'mountinfo'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
