/**
 * What mounts the views of an aufs home on this machine.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { StoreError } from '@layerstore/core';
import { kernelKnowsFileSystem, type Mounter } from '@layerstore/linux';
import type { Home } from '../home/home.js';
import { listOptional, readOptional } from '../home/optional-file.js';
import { probeOverlay } from '../overlay2/probe.js';

/**
 * `aufs`: the kernel's own. `overlay`: the kernel's overlay, with shadow layers. `fuse-overlayfs`: the program, for reading
 * only.
 */
export type AufsEngine = 'aufs' | 'overlay' | 'fuse-overlayfs';

export interface ChosenEngine {
  readonly engine: AufsEngine;
  /** Why it is this one, for people. */
  readonly reason: string;
}

export interface EngineChoice {
  readonly home: Home;
  readonly mounter: Mounter;
  readonly overlayOptions: readonly string[];
  /** Use this one or fail. */
  readonly forced?: AufsEngine;
}

/** modprobe(8) may wait for a device, or for a lock of another one. */
const modprobeTimeoutMs = 5000;
const modprobe = '/sbin/modprobe';

/**
 * The first that works: aufs, overlay, fuse-overlayfs.
 * @throws StoreError ERR_MISSING_PREREQUISITE, ERR_INCOMPATIBLE_FILE_SYSTEM of the engine that was asked for, or of the
 * overlay where none works
 */
export async function chooseEngine(choice: EngineChoice): Promise<ChosenEngine> {
  const { forced } = choice;
  if (forced !== undefined) {
    const refusal = await refusals[forced](choice);
    if (refusal !== undefined) throw refusal;
    return { engine: forced, reason: 'it was asked for' };
  }
  const noAufs = await refuseAufs(choice);
  if (noAufs === undefined) return { engine: 'aufs', reason: 'the kernel has aufs' };
  const noOverlay = await refuseOverlay(choice);
  if (noOverlay === undefined) return { engine: 'overlay', reason: noAufs.message };
  // Where nothing is stored yet, a home that cannot be written through a view is of no use.
  const noFuse = isEmpty(choice.home) ? noOverlay : refuseFuse();
  if (noFuse !== undefined) throw noOverlay;
  return { engine: 'fuse-overlayfs', reason: `${noAufs.message}; ${noOverlay.message}` };
}

const refusals: Record<AufsEngine, (choice: EngineChoice) => Promise<StoreError | undefined>> = {
  aufs: refuseAufs,
  overlay: refuseOverlay,
  'fuse-overlayfs': () => Promise.resolve(refuseFuse()),
};

async function refuseAufs({ home }: EngineChoice): Promise<StoreError | undefined> {
  if (inUserNamespace()) {
    return new StoreError('ERR_NOT_SUPPORTED', 'the kernel mounts no aufs in a user namespace', { subject: 'aufs' });
  }
  if (!listedByKernel() && !(await loadsModule())) {
    return new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no aufs', {
      subject: 'aufs',
      hint: 'leave the engine out: aufs homes are mounted by the kernel overlay as well',
    });
  }
  // aufs on btrfs loses hard links and deadlocks; Docker refuses it too. The overlay has no such trouble.
  if (home.backingFileSystem === 'btrfs') return incompatible(home, "the kernel's aufs");
  return undefined;
}

async function refuseOverlay({ home, mounter, overlayOptions }: EngineChoice): Promise<StoreError | undefined> {
  if (home.readOnly) {
    if (kernelKnowsFileSystem('overlay')) return undefined;
    return new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no overlay file system', {
      subject: 'aufs',
      hint: 'load the module with `modprobe overlay`',
    });
  }
  if (home.backingFileSystem === 'overlayfs') return incompatible(home, 'the kernel overlay');
  try {
    await probeOverlay(home, mounter, overlayOptions);
    return undefined;
  } catch (error) {
    const isRefusal = StoreError.is(error) && expected.includes(error.code);
    if (!isRefusal) throw error;
    return error;
  }
}

const expected: readonly string[] = ['ERR_MISSING_PREREQUISITE', 'ERR_INCOMPATIBLE_FILE_SYSTEM'];

function refuseFuse(): StoreError | undefined {
  if (!existsSync('/dev/fuse')) {
    return new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no FUSE: /dev/fuse does not exist', {
      subject: 'aufs',
      hint: 'load the module with `modprobe fuse`',
    });
  }
  const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  if (places.some((place) => existsSync(`${place}/fuse-overlayfs`))) return undefined;
  return new StoreError('ERR_MISSING_PREREQUISITE', 'the program fuse-overlayfs is not installed', {
    subject: 'aufs',
    hint: 'install it: apt-get install fuse-overlayfs',
  });
}

function incompatible(home: Home, engine: string): StoreError {
  return new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', `${engine} cannot work on ${home.backingFileSystem}`, {
    subject: home.path,
    hint: 'put the home on another file system, for example a volume of ext4 or xfs',
  });
}

/** The map of the first user namespace covers all ids (user_namespaces(7)). */
function inUserNamespace(): boolean {
  const map = readOptional('/proc/self/uid_map')?.trim().split(/\s+/).map(Number);
  return map !== undefined && !(map.length === 3 && map[0] === 0 && map[1] === 0 && map[2] === 4_294_967_295);
}

function listedByKernel(): boolean {
  const listed = readFileSync('/proc/filesystems', 'utf8').split('\n');
  return listed.some((line) => line.split('\t')[1] === 'aufs');
}

/** In a container modprobe fails, although the kernel may have the module: only the kernel's list counts. */
async function loadsModule(): Promise<boolean> {
  if (!existsSync('/proc/modules') || !existsSync(modprobe)) return false;
  try {
    await promisify(execFile)(modprobe, ['aufs'], { timeout: modprobeTimeoutMs, killSignal: 'SIGKILL', env: {} });
  } catch {
    // There is no such module, or it may not be loaded; the kernel's list tells.
  }
  return listedByKernel();
}

function isEmpty(home: Home): boolean {
  return listOptional(`${home.path}/layers`).length === 0;
}
