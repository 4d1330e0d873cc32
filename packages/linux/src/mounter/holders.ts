import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** A process that keeps a mount busy. */
export interface MountHolder {
  readonly pid: number;
  /** The first 15 bytes of the program's name; empty when the process has gone. */
  readonly program: string;
  readonly by: 'working directory' | 'root directory' | 'program' | 'open file' | 'mapped file';
}

/**
 * Processes that use something at or below `path`, by /proc. Only what the caller may look at is found: all of it as
 * root. Cost: one readlink per open descriptor of the system; for error messages, not for decisions.
 */
export function findMountHolders(path: string): MountHolder[] {
  const holders: MountHolder[] = [];
  for (const name of listed('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const by = holding(`/proc/${name}`, path);
    if (by !== undefined) holders.push({ pid: Number(name), program: content(`/proc/${name}/comm`).trim(), by });
  }
  return holders;
}

/** `bash (pid 12, working directory), vi (pid 14, open file)`; the first `most` of them. */
export function describeHolders(holders: readonly MountHolder[], most = 5): string {
  const shown = holders.slice(0, most).map(({ program, pid, by }) => `${program} (pid ${pid}, ${by})`);
  const rest = holders.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

function holding(process: string, path: string): MountHolder['by'] | undefined {
  const inside = (target: string): boolean => target === path || target.startsWith(`${path}/`);
  if (inside(linkTarget(`${process}/cwd`))) return 'working directory';
  if (inside(linkTarget(`${process}/root`))) return 'root directory';
  if (inside(linkTarget(`${process}/exe`))) return 'program';
  if (listed(`${process}/fd`).some((fd) => inside(linkTarget(`${process}/fd/${fd}`)))) return 'open file';
  if (content(`${process}/maps`).includes(` ${path}/`)) return 'mapped file';
  return undefined;
}

/** Processes end while they are looked at, and some may not be looked at: both hold nothing that could be told. */
function listed(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkTarget(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

function content(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
