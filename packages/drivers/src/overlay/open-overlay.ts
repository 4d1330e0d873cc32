import { checkStorageOptions, type DriverOptions } from '../driver-options.js';
import { Home } from '../home/home.js';
import { refuseFileSystem } from '../home/refuse-file-system.js';
import { overlayOptions } from '../overlay2/mount-options.js';
import { probeOverlay } from '../overlay2/probe.js';
import { isOverlayHome } from './is-overlay-home.js';
import { OverlayDriver } from './overlay-driver.js';
import { OverlayRecords } from './overlay-records.js';

/** Docker refuses these for this driver, although newer kernels would take some of them. */
const refusedFileSystems: readonly string[] = ['aufs', 'btrfs', 'ecryptfs', 'nfs', 'overlayfs', 'zfs'];

/**
 * Opens an overlay home, or makes a new one.
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MISSING_PREREQUISITE, ERR_UNKNOWN_OPTION
 * @throws StoreError ERR_NOT_A_HOME for a directory with other things, where none may be made
 */
export async function openOverlay(path: string, options: DriverOptions): Promise<OverlayDriver> {
  checkStorageOptions(options.storageOptions, { driver: 'overlay', ignored: [], refused: {} });
  const readOnly = options.access === 'read-only';
  if (!readOnly) refuseFileSystem('overlay', path, refusedFileSystems);
  const home = Home.open(path, options);
  home.requireMark(() => isOverlayHome(home.path), 'it holds no layer of the driver');
  const mountOptions = overlayOptions();
  if (readOnly) {
    return new OverlayDriver({ home, mountOptions, supportsDirectoryTypes: true });
  }
  const hasLayers = new OverlayRecords(home.path).list().length > 0;
  const { supportsDirectoryTypes } = await probeOverlay(home, {
    driver: 'overlay',
    mounter: options.mounter,
    mountOptions,
    withoutDirectoryTypes: hasLayers ? 'accept' : 'refuse',
  });
  return new OverlayDriver({ home, mountOptions, supportsDirectoryTypes });
}
