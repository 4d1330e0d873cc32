/**
 * Does the file system under a home carry overlays? Answered by mounting one and using what layers need: whiteouts
 * (character devices, hidden by d_type), opaque marks (trusted extended attributes), and renames of lower directories
 * refused, without which a layer's directory alone does not hold all its changes.
 */
import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
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

/**
 * Makes the test mount, at most once per start of the machine and file system: `<home>/.layerstore/probed` records where
 * it succeeded. Cost: some 10 ms, then one small read.
 * @throws StoreError ERR_MISSING_PREREQUISITE when neither the kernel nor fuse-overlayfs can mount overlays
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM
 */
export async function probeOverlay(home: Home, mounter: Mounter, options: readonly string[]): Promise<void> {
  const record = join(home.path, '.layerstore', 'probed');
  const place = `${bootId()} ${statSync(home.path).dev} ${options.join(',')}\n`;
  if (readOptional(record) === place) return;
  if (!kernelKnowsFileSystem('overlay') && !hasFuseOverlayfs()) {
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'the kernel has no overlay file system', {
      subject: 'overlay2',
      hint: 'load the module with `modprobe overlay`, install fuse-overlayfs, or use --driver vfs',
    });
  }
  await testMount(home, mounter, options);
  writeFileSync(record, place, { mode: 0o600 });
}

async function testMount(home: Home, mounter: Mounter, options: readonly string[]): Promise<void> {
  await using staged = await home.staging.enter();
  const upper = staged.entry('upper');
  const lower = staged.entry('lower');
  for (const path of [upper, staged.entry('work'), staged.entry('base'), lower]) mkdirSync(path);
  for (const name of ['kept', 'replaced']) mkdirSync(join(lower, name));
  for (const name of ['deleted', 'replaced/hidden']) writeFileSync(join(lower, name), '');
  const plan: OverlayPlan = {
    kind: 'overlay',
    lowers: [lower, staged.entry('base')],
    upper: { path: upper, work: staged.entry('work') },
    options,
  };
  const missing = await useTestMount(plan, mounter, staged.entry('merged'), upper);
  if (missing === undefined) return;
  throw new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', `${home.backingFileSystem} cannot carry overlay2: ${missing}`, {
    subject: home.path,
    hint: 'put the home on ext4, on xfs with ftype=1, or on btrfs, or use --driver vfs',
  });
}

/** What is missing, as the end of a sentence. A kernel that lacks something mounts read-only, or fails later with EIO. */
async function useTestMount(
  plan: OverlayPlan,
  mounter: Mounter,
  mountPoint: string,
  upper: string,
): Promise<string | undefined> {
  try {
    return await mounter.withMount(plan, mountPoint, (view) =>
      Promise.resolve(missingFeature(view, upper, opaqueAttribute(plan.options))),
    );
  } catch (error) {
    const failure = fromSystemError(error);
    if (failure.code === 'ERR_MOUNT_FAILED' || failure.code === 'ERR_IO') return failure.message;
    throw failure;
  }
}

function missingFeature(view: string, upper: string, opaqueName: string): string | undefined {
  unlinkSync(join(view, 'deleted'));
  const whiteout = lstatSync(join(upper, 'deleted'));
  if (!whiteout.isCharacterDevice() || whiteout.rdev !== 0) return 'a whiteout is not a character device';
  if (readdirSync(view).includes('deleted')) return 'it does not tell the type of directory entries (d_type)';
  unlinkSync(join(view, 'replaced/hidden'));
  rmdirSync(join(view, 'replaced'));
  mkdirSync(join(view, 'replaced'));
  const opaque = nativeSyscalls().getXattr(join(upper, 'replaced'), opaqueName);
  if (opaque?.toString() !== 'y') return 'it keeps no trusted extended attributes';
  return renamesLower(view) ? 'the kernel renames directories of lower layers' : undefined;
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
