import { isAbsolute } from 'node:path';
import { StoreError } from '@layerstore/core';
import type { GraphDriver } from './driver.js';
import type { DriverOptions } from './driver-options.js';
import { openAufs } from './aufs/open-aufs.js';
import { openOverlay } from './overlay/open-overlay.js';
import { openOverlay2 } from './overlay2/open-overlay2.js';
import { openThin } from './thin/open-thin.js';
import { splitThinOptions } from './thin/thin-options.js';
import { openVfs } from './vfs/vfs-driver.js';

/** Every driver, by the name that Docker uses. */
const drivers = {
  aufs: openAufs,
  overlay: openOverlay,
  overlay2: openOverlay2,
  vfs: openVfs,
} as const satisfies Record<string, (home: string, options: DriverOptions) => Promise<GraphDriver>>;

export type DriverName = keyof typeof drivers;

export const driverNames: readonly DriverName[] = Object.keys(drivers).filter(isDriverName);

export function isDriverName(name: string): name is DriverName {
  return Object.hasOwn(drivers, name);
}

/**
 * Opens the home of a driver, or makes a new one, and sweeps what interrupted work has left in it.
 * @param home absolute path
 * @throws StoreError ERR_UNKNOWN_DRIVER, ERR_UNKNOWN_OPTION, ERR_NOT_SUPPORTED
 * @throws StoreError ERR_INVALID_ARGUMENT for options of thin images that do not fit together
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MISSING_PREREQUISITE when this machine cannot run it
 */
export async function openDriver(name: string, home: string, options: DriverOptions): Promise<GraphDriver> {
  if (!isDriverName(name)) {
    throw new StoreError('ERR_UNKNOWN_DRIVER', 'no driver has this name', {
      subject: JSON.stringify(name),
      hint: `drivers are ${driverNames.join(', ')}`,
    });
  }
  if (!isAbsolute(home)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the home must be an absolute path', {
      subject: JSON.stringify(home),
    });
  }
  const { thin, others } = splitThinOptions(options.storageOptions);
  const own = others === undefined ? options : { ...options, storageOptions: others };
  const driver = thin === undefined ? await drivers[name](home, own) : await openThin(name, home, own, thin);
  await driver.cleanup();
  return driver;
}
