import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import { aufsWork } from '../aufs/aufs-work.js';
import { openAufs } from '../aufs/open-aufs.js';
import type { DriverOptions } from '../driver-options.js';
import { treeWork } from '../home/tree-work.js';
import { openOverlay2 } from '../overlay2/open-overlay2.js';
import type { RestackingDriver } from '../restacking.js';
import { ExternalSource } from './external-source.js';
import { InternalSource } from './internal-source.js';
import type { LayerSource } from './layer-source.js';
import { RecordedStarts } from './recorded-starts.js';
import { RepositoryKeys } from './repository-keys.js';
import { RepositoryLayers } from './repository-layers.js';
import { ThinDriver } from './thin-driver.js';
import { ThinLayers } from './thin-layers.js';
import type { ThinSettings } from './thin-options.js';
import { ViewUses } from './view-uses.js';

/** The drivers that show thin images. */
const drivers: Readonly<Record<string, (home: string, options: DriverOptions) => Promise<RestackingDriver>>> = {
  aufs: openAufs,
  overlay2: openOverlay2,
};

/**
 * Opens a driver that shows thin images.
 * @param options for the driver, without those of thin images
 * @throws StoreError ERR_NOT_SUPPORTED for other drivers, with id maps, and for a method that this program does not have
 */
export async function openThin(
  name: string,
  home: string,
  options: DriverOptions,
  settings: ThinSettings,
): Promise<ThinDriver> {
  const open = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
  if (open === undefined) throw refused(name, `only ${Object.keys(drivers).join(' and ')} show thin images`);
  if (options.idMaps !== undefined) throw refused(name, 'the owners in repositories cannot be mapped');
  const driver = await open(home, options);
  const source = sourceFor(driver, options, settings);
  return new ThinDriver({
    driver,
    source,
    thin: new ThinLayers(driver.state),
    starts: new RecordedStarts(driver.state),
    logger: options.logger,
    uses: new ViewUses({
      state: driver.state,
      home: driver.home,
      source,
      isMounted: (id) => options.mounter.isMounted(driver.mountPoint(id)),
      exists: (id) => driver.exists(id),
    }),
    repositoryLayers: new RepositoryLayers({
      state: driver.state,
      work: aufsWork(options.workers),
      trees: treeWork(options.workers),
    }),
  });
}

function sourceFor(driver: RestackingDriver, options: DriverOptions, settings: ThinSettings): LayerSource {
  const { method, mountPath, program } = settings;
  const keys = new RepositoryKeys(settings.keys);
  switch (method) {
    case 'external':
      return new ExternalSource(mountPath ?? '/cvmfs', keys);
    case 'internal':
      return new InternalSource({
        directory: mountPath ?? join(driver.state, 'thin', 'repositories'),
        keys,
        mounter: options.mounter,
        ...(program === undefined ? {} : { program }),
      });
    case 'native':
      if (options.nativeRepositories !== undefined) return options.nativeRepositories(settings);
      throw refused('cvmfsMountMethod=native', 'this program reads no repositories by itself');
  }
}

function refused(subject: string, reason: string): StoreError {
  return new StoreError('ERR_NOT_SUPPORTED', reason, {
    subject,
    hint: 'leave the options of thin images out, or choose others: docs/thin.md',
  });
}
