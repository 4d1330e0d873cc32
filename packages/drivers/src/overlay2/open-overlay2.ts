import { checkStorageOptions, type DriverOptions } from '../driver-options.js';
import { Home } from '../home/home.js';
import { refuseFileSystem } from '../home/refuse-file-system.js';
import { refuseSizeWithoutXfs, SizeLimits } from '../home/size-limits.js';
import { overlayOptions } from './mount-options.js';
import { OtherLowers } from './other-lowers.js';
import { Overlay2Driver } from './overlay2-driver.js';
import { probeOverlay } from './probe.js';
import { linkDirectory } from './short-links.js';

/** Over these the kernel takes no upper, or Docker refuses them as well; all others are tried. */
const refusedFileSystems: readonly string[] = ['overlayfs', 'aufs', 'ecryptfs'];

const sizeKeys = ['overlay2.size'];

/**
 * Opens an overlay2 home, or makes a new one.
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MISSING_PREREQUISITE, ERR_UNKNOWN_OPTION, ERR_NOT_SUPPORTED
 */
export async function openOverlay2(path: string, options: DriverOptions): Promise<Overlay2Driver> {
  checkStorageOptions(options.storageOptions, {
    driver: 'overlay2',
    accepted: sizeKeys,
    ignored: ['overlay2.override_kernel_check'],
    refused: {},
  });
  const sizes = { driver: 'overlay2', keys: sizeKeys, storageOptions: options.storageOptions };
  if (options.access !== 'read-only') refuseSizeWithoutXfs(path, sizes);
  if (options.access !== 'read-only') refuseFileSystem('overlay2', path, refusedFileSystems);
  const home = Home.open(path, options);
  home.makeSubdirectory(linkDirectory, 0o700);
  const mountOptions = overlayOptions();
  if (!home.readOnly) await probeOverlay(home, { driver: 'overlay2', mounter: options.mounter, mountOptions });
  const sizeLimits = SizeLimits.open(home, home.path, sizes);
  const otherLowers = OtherLowers.in(home, options);
  return new Overlay2Driver({ home, mountOptions, sizeLimits, records: options.records ?? 'checked', otherLowers });
}
