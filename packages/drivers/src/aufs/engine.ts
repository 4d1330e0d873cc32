/**
 * What mounts the views of an aufs home on this machine.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { StoreError } from '@layerstore/core';
import { kernelKnowsFileSystem, type Mounter } from '@layerstore/linux';
import type { Home } from '../home/home.js';
import { listOptional, readOptional } from '../home/optional-file.js';
import { overlayOptions } from '../overlay2/mount-options.js';
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
  /** Options of every overlay that it mounts. */
  readonly overlayOptions: readonly string[];
}

export interface EngineChoice {
  readonly home: Home;
  readonly mounter: Mounter;
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
  const forced = choice.mounter.method === 'fuse-overlayfs' ? 'fuse-overlayfs' : choice.forced;
  if (forced !== undefined) {
    const found = await attempts[forced](choice);
    if (StoreError.is(found)) throw found;
    return { engine: forced, reason: 'it was asked for', overlayOptions: found };
  }
  const aufs = await tryAufs(choice);
  if (!StoreError.is(aufs)) return { engine: 'aufs', reason: 'the kernel has aufs', overlayOptions: aufs };
  const overlay = await tryOverlay(choice);
  if (!StoreError.is(overlay)) return { engine: 'overlay', reason: aufs.message, overlayOptions: overlay };
  // Where nothing is stored yet, a home that cannot be written through a view is of no use.
  const fuse = isEmpty(choice.home) ? overlay : tryFuse();
  if (StoreError.is(fuse)) throw overlay;
  return { engine: 'fuse-overlayfs', reason: `${aufs.message}; ${overlay.message}`, overlayOptions: fuse };
}

/** The options of overlays, or why the engine cannot be used. */
type Attempt = readonly string[] | StoreError;

const attempts: Record<AufsEngine, (choice: EngineChoice) => Promise<Attempt>> = {
  aufs: tryAufs,
  overlay: tryOverlay,
  'fuse-overlayfs': () => Promise.resolve(tryFuse()),
};

async function tryAufs({ home }: EngineChoice): Promise<Attempt> {
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
  return [];
}

async function tryOverlay({ home, mounter }: EngineChoice): Promise<Attempt> {
  if (home.readOnly) {
    const [options] = overlayOptionSets();
    if (kernelKnowsFileSystem('overlay')) return options;
    return new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no overlay file system', {
      subject: 'aufs',
      hint: 'load the module with `modprobe overlay`',
    });
  }
  if (home.backingFileSystem === 'overlayfs') return incompatible(home, 'the kernel overlay');
  let refusal: StoreError | undefined;
  for (const options of overlayOptionSets()) {
    try {
      await probeOverlay(home, { driver: 'aufs', mounter, mountOptions: options });
      return options;
    } catch (error) {
      if (!StoreError.is(error) || !expected.includes(error.code)) throw error;
      refusal ??= error;
    }
  }
  return refusal ?? [];
}

/**
 * With `userxattr` (Linux 5.11) the overlay keeps its marks in `user.` attributes, and `trusted.overlay.*` of a layer, which
 * mean nothing to aufs, are shown as they are. Some file systems have only the other ones.
 */
function overlayOptionSets(): readonly [readonly string[], ...(readonly string[])[]] {
  const options = overlayOptions();
  // Redirects are off with it, and any option about them but `nofollow` is refused.
  const others = options.filter((option) => !option.startsWith('redirect_dir=') && option !== 'userxattr');
  const withUserMarks = [...others, 'userxattr'];
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const knows = major > 5 || (major === 5 && minor >= 11);
  return knows ? [withUserMarks, options] : [options];
}

const expected: readonly string[] = ['ERR_MISSING_PREREQUISITE', 'ERR_INCOMPATIBLE_FILE_SYSTEM'];

function tryFuse(): Attempt {
  if (!existsSync('/dev/fuse')) {
    return new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no FUSE: /dev/fuse does not exist', {
      subject: 'aufs',
      hint: 'load the module with `modprobe fuse`',
    });
  }
  const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  if (places.some((place) => existsSync(`${place}/fuse-overlayfs`))) return [];
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
