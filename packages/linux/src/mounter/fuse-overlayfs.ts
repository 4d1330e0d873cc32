/**
 * Overlays by the program fuse-overlayfs, for kernels that have no overlay or refuse it here.
 *
 * The program puts itself into the background once it has mounted, and serves the view until somebody unmounts it,
 * also after this process is gone.
 *
 * Source: fuse-overlayfs(1); what it says and leaves behind was measured with version 1.10.
 */
import { StoreError } from '@layerstore/core';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { KernelTables } from '../kernel-tables.js';
import type { MountTableEntry } from '../mount-table.js';
import type { OverlayPlan } from '../mount-plan.js';
import { OverlayFailure } from './overlay-failure.js';
import { splitOption } from './overlay-options.js';

const program = 'fuse-overlayfs';
const device = '/dev/fuse';
/** Not this process's environment: FUSE_OVERLAYFS_* variables change what is written into layers. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const MAX_START_MS = 30_000;
const MAX_LOG_BYTES = 16_384;
const END_DELAYS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/** The others are the kernel's own; the program warns about each. */
const knownOptions: readonly string[] = ['context', 'redirect_dir', 'volatile'];

/** A process that serves a view. */
export interface FuseServer {
  readonly pid: number;
  /** Its option text, as {@link fuseOptionText} makes it. */
  readonly options: string;
}

/** True when this machine has the program, and FUSE in its kernel. Cost: a few file lookups. */
export function hasFuseOverlayfs(): boolean {
  const installed = environment.PATH.split(':').some((directory) => existsSync(`${directory}/${program}`));
  return installed && existsSync(device);
}

export function isFuseOverlay(entry: MountTableEntry): boolean {
  return entry.type === 'fuse.fuse-overlayfs';
}

/**
 * Starts the program and waits until the view is mounted. Without an upper the view is read-only. Cost: some 10 ms.
 * @throws StoreError ERR_MISSING_PREREQUISITE, ERR_NOT_SUPPORTED
 * @throws OverlayFailure with what the program wrote
 */
export async function mountByFuseOverlayfs(kernel: KernelTables, plan: OverlayPlan, target: string): Promise<void> {
  const { status, log } = await run(['-o', fuseOptionText(plan), target]);
  const mounted = kernel.mounts().findLast((entry) => entry.mountPoint === target);
  if (status === 0 && mounted !== undefined && isFuseOverlay(mounted)) return;
  if (!existsSync(device)) throw missing(`the kernel has no FUSE: ${device} does not exist`, 'try: modprobe fuse');
  throw new OverlayFailure(undefined, `fuse-overlayfs: ${log === '' ? `ended with ${status}` : log}`, false);
}

/** @throws StoreError ERR_NOT_SUPPORTED */
export function fuseOptionText(plan: OverlayPlan): string {
  if (plan.idMaps !== undefined) {
    throw new StoreError('ERR_NOT_SUPPORTED', 'fuse-overlayfs cannot show lower layers with mapped owners');
  }
  const parts = [`lowerdir=${plan.lowers.map(pathText).join(':')}`];
  if (plan.upper !== undefined) {
    parts.push(`upperdir=${pathText(plan.upper.path)}`, `workdir=${pathText(plan.upper.work)}`);
  }
  return [...parts, ...plan.options.filter(isKnown).map(escape)].join(',');
}

/** The process that serves the view on `target`, if it lives. Cost: one small read for each process of the system. */
export function findFuseServer(target: string): FuseServer | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [command = '', flag, options, point] = commandLine(name);
    if (!command.endsWith(program) || flag !== '-o' || point !== target || options === undefined) continue;
    // Anybody can give a process this command line.
    if (isOurUsers(name)) return { pid: Number(name), options };
  }
  return undefined;
}

/** The directories that the process writes into, as absolute paths; `undefined` for a read-only view. */
export function upperOf({ options }: FuseServer): OverlayPlan['upper'] {
  const value = (key: string): string | undefined =>
    new RegExp(`(?:^|,)${key}=((?:\\\\.|[^,\\\\])*)`).exec(options)?.[1]?.replace(/\\(.)/g, '$1');
  const [path, work] = [value('upperdir'), value('workdir')];
  return path === undefined || work === undefined ? undefined : { path, work };
}

/** Waits until the process has ended, which follows the unmount; returns false when it has not after some seconds. */
export async function hasEnded(server: FuseServer): Promise<boolean> {
  for (const wait of END_DELAYS_MS) {
    // Its command line is empty from the moment it has ended, even when nobody has waited for it.
    if (commandLine(String(server.pid))[2] !== server.options) return true;
    await delay(wait);
  }
  return false;
}

async function run(parameters: readonly string[]): Promise<{ status: number | string; log: string }> {
  const child = spawn(program, parameters, { stdio: ['ignore', 'ignore', 'pipe'], env: environment, cwd: '/' });
  const timer = setTimeout(() => child.kill('SIGKILL'), MAX_START_MS);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-MAX_LOG_BYTES);
  });
  try {
    const status = await new Promise<number | string>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        resolve(code ?? signal ?? 'no status');
      });
    });
    return { status, log: log.split('\n').filter(isNews).join('; ') };
  } catch (error) {
    throw missing('the program fuse-overlayfs cannot be started', 'install it: apt-get install fuse-overlayfs', error);
  } finally {
    clearTimeout(timer);
  }
}

function isNews(line: string): boolean {
  return line !== '' && !line.startsWith('unknown argument ignored');
}

function missing(reason: string, hint: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MISSING_PREREQUISITE', reason, { hint, cause });
}

function isKnown(option: string): boolean {
  return knownOptions.includes(splitOption(option).key);
}

function pathText(path: string): string {
  if (path.includes(':')) {
    throw new StoreError('ERR_NOT_SUPPORTED', 'fuse-overlayfs cannot be given a path with a colon in it', {
      subject: path,
    });
  }
  return escape(path);
}

/** A comma ends an option for libfuse. */
function escape(text: string): string {
  return text.replace(/[\\,]/g, '\\$&');
}

function isOurUsers(pid: string): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === process.geteuid?.();
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    // It ended meanwhile, or is not ours to look at.
    return [];
  }
}
