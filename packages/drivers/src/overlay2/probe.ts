/**
 * Does the file system under a home carry overlays? Answered by mounting one and using what layers need: whiteouts
 * (character devices, hidden by d_type), opaque marks (extended attributes), and renames of lower directories refused,
 * without which a layer's directory alone does not hold all its changes.
 */
import { lstatSync, mkdirSync, readdirSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import {
  bootId,
  hasErrno,
  hasFuseOverlayfs,
  kernelKnowsFileSystem,
  nativeSyscalls,
  type Mounter,
  type OverlayPlan,
} from '@layerstore/linux';
import type { Home } from '../home/home.js';
import { readOptional } from '../home/optional-file.js';
import { opaqueAttribute } from './mount-options.js';

export interface OverlayProbe {
  readonly driver: 'aufs' | 'overlay' | 'overlay2';
  readonly mounter: Mounter;
  readonly mountOptions: readonly string[];
  /** `accept` for homes that are in use already: there whiteouts may show as files, and always have. Default `refuse`. */
  readonly withoutDirectoryTypes?: 'accept' | 'refuse';
}

export interface OverlayFindings {
  /** Directory entries tell their type (d_type). */
  readonly supportsDirectoryTypes: boolean;
}

/**
 * Makes the test mount, at most once per start of the machine and file system: `<home>/.layerstore/probed` records where
 * it succeeded. Cost: some 10 ms, then one small read.
 * @throws StoreError ERR_MISSING_PREREQUISITE when neither the kernel nor fuse-overlayfs can mount overlays
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM
 */
export async function probeOverlay(home: Home, probe: OverlayProbe): Promise<OverlayFindings> {
  const { driver, withoutDirectoryTypes = 'refuse' } = probe;
  const record = join(home.state, 'probed');
  const place = `${bootId()} ${statSync(home.path).dev} ${probe.mountOptions.join(',')}`;
  if (readOptional(record) === `${place}\n`) return { supportsDirectoryTypes: true };
  if (!kernelKnowsFileSystem('overlay') && !hasFuseOverlayfs()) {
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no overlay file system', {
      subject: driver,
      hint: 'load the module with `modprobe overlay`, install fuse-overlayfs, or use --driver vfs',
    });
  }
  const missing = await testMount(home, probe);
  if (missing === undefined) {
    writeFileSync(record, `${place}\n`, { mode: 0o600 });
    return { supportsDirectoryTypes: true };
  }
  if (missing === noDirectoryTypes && withoutDirectoryTypes === 'accept') {
    home.logger.warn({ home: home.path }, `${home.backingFileSystem} has no d_type: deleted files may show as devices`);
    return { supportsDirectoryTypes: false };
  }
  throw new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', `${home.backingFileSystem} cannot carry ${driver}: ${missing}`, {
    subject: home.path,
    hint: `put the home on ext4, on xfs with ftype=1${driver === 'overlay2' ? ', or on btrfs' : ''}, or use --driver vfs`,
  });
}

const noDirectoryTypes = 'it does not tell the type of directory entries (d_type)';

/** What is missing, as the end of a sentence. */
async function testMount(home: Home, { mounter, mountOptions }: OverlayProbe): Promise<string | undefined> {
  await using staged = await home.staging.enter();
  const upper = staged.entry('upper');
  const lower = staged.entry('lower');
  for (const path of [upper, staged.entry('work'), staged.entry('base'), lower]) mkdirSync(path);
  mkdirSync(join(lower, 'kept'));
  writeFileSync(join(lower, 'deleted'), '');
  const plan: OverlayPlan = {
    kind: 'overlay',
    lowers: [lower, staged.entry('base')],
    upper: { path: upper, work: staged.entry('work') },
    options: mountOptions,
  };
  const opaque = opaqueAttribute(mountOptions);
  try {
    return await mounter.withMount(plan, staged.entry('merged'), (view) =>
      Promise.resolve(missingFeature(view, upper, opaque)),
    );
  } catch (error) {
    // A kernel that lacks something mounts read-only, or fails later with EIO.
    const failure = fromSystemError(error);
    if (failure.code === 'ERR_MOUNT_FAILED' || failure.code === 'ERR_IO') return failure.message;
    throw failure;
  }
}

function missingFeature(view: string, upper: string, opaqueName: string): string | undefined {
  unlinkSync(join(view, 'deleted'));
  const whiteout = lstatSync(join(upper, 'deleted'));
  if (!whiteout.isCharacterDevice() || whiteout.rdev !== 0) return 'a whiteout is not a character device';
  const showsWhiteouts = readdirSync(view).includes('deleted');
  mkdirSync(join(view, 'deleted'));
  const opaque = nativeSyscalls().getXattr(join(upper, 'deleted'), opaqueName);
  if (opaque?.toString() !== 'y') return `it keeps no extended attributes of the name ${opaqueName}`;
  if (renamesLower(view)) return 'the kernel renames directories of lower layers';
  // The last: homes that are in use are accepted when nothing but this is missing.
  return showsWhiteouts ? noDirectoryTypes : undefined;
}

function renamesLower(view: string): boolean {
  try {
    renameSync(join(view, 'kept'), join(view, 'renamed'));
    return true;
  } catch (error) {
    if (hasErrno(error, 'EXDEV')) return false;
    throw error;
  }
}
