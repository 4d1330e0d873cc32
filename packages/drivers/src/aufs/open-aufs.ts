import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { hostRoot, StoreError } from '@layerstore/core';
import { backingFileSystem, supportsDirperm1 } from '@layerstore/linux';
import { checkStorageOptions, type DriverOptions } from '../driver-options.js';
import { Home } from '../home/home.js';
import { AufsDriver } from './aufs-driver.js';
import { aufsWork } from './aufs-work.js';
import { chooseEngine, type AufsEngine, type ChosenEngine } from './engine.js';
import { LayerFolders } from './layer-folders.js';
import { LayerRecords } from './layer-records.js';
import { mountsOver } from './mounts-over.js';
import { OverlayForms } from './overlay-forms.js';
import { ShadedPlans } from '../shadows/shaded-plans.js';
import { Shadows } from '../shadows/shadows.js';
import { ShortNames } from '../shadows/short-names.js';
import { ViewPlans } from './view-plans.js';

export interface AufsOptions extends DriverOptions {
  /** Mount views by this engine or fail; default the first that works. */
  readonly engine?: AufsEngine;
}

/** A stack of aufs over itself deadlocks, and ecryptfs has no room for `.wh.` before a long name. Docker refuses them too. */
const refusedFileSystems: readonly string[] = ['aufs', 'ecryptfs'];

/**
 * Opens an aufs home, or makes a new one. One that an engine has made long ago, with other modes, is taken as it is.
 * @throws StoreError ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_MISSING_PREREQUISITE, ERR_UNKNOWN_OPTION
 */
export async function openAufs(path: string, options: AufsOptions): Promise<AufsDriver> {
  checkStorageOptions(options.storageOptions, { driver: 'aufs', ignored: [], refused: {} });
  // Before anything is made: what cannot be used shall not be there afterwards.
  if (options.access !== 'read-only') refuseFileSystem(existingPlace(path));
  const home = Home.open(path, options);
  for (const name of ['mnt', 'diff', 'layers']) home.makeSubdirectory(name, 0o710);
  if (home.readOnly) home.makeViewDirectory();
  const { mounter, engine: forced } = options;
  const choice = { home, mounter };
  const chosen = await chooseEngine(forced === undefined ? choice : { ...choice, forced });
  return assemble(home, chosen, options);
}

async function assemble(home: Home, chosen: ChosenEngine, options: AufsOptions): Promise<AufsDriver> {
  const { mounter, idMaps, logger } = options;
  const records = new LayerRecords(home);
  const work = aufsWork(options.workers);
  const shadows = new Shadows({ home, work, logger });
  const shortNames = new ShortNames(home.state);
  const forms = new OverlayForms({
    home: home.path,
    work,
    trees: home.trees,
    marks: chosen.overlayOptions.includes('userxattr') ? 'user' : 'trusted',
    pathOf: (id) => records.path('diff', id),
    mountsOf: (id) => {
      const path = records.path('diff', id);
      const name = shortNames.nameOf(path);
      return mountsOver(records.path('mnt', id), [path, name, `${shortNames.path}/${name}`]);
    },
  });
  const dirperm1 = chosen.engine === 'aufs' ? await probeDirperm1(home) : undefined;
  const aufsOptions = dirperm1 === true ? ['dirperm1'] : [];
  const { engine, overlayOptions } = chosen;
  const shaded = new ShadedPlans({ home, shadows, shortNames });
  const plans = new ViewPlans({
    home,
    engine,
    records,
    forms,
    shadows,
    shaded,
    work,
    overlayOptions,
    aufsOptions,
    idMaps,
  });
  const folders = new LayerFolders({ home, mounter, records, forms, shadows, root: hostRoot(idMaps) });
  return new AufsDriver({ home, chosen, dirperm1, records, folders, forms, shadows, shortNames, plans, logger });
}

async function probeDirperm1(home: Home): Promise<boolean> {
  mkdirSync(home.state, { recursive: true, mode: 0o700 });
  return supportsDirperm1(home.state);
}

/** The directory itself, or where it will lie. */
function existingPlace(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : existingPlace(dirname(path));
}

function refuseFileSystem(path: string): void {
  const { name } = backingFileSystem(path);
  if (!refusedFileSystems.includes(name)) return;
  throw new StoreError('ERR_INCOMPATIBLE_FILE_SYSTEM', `aufs cannot work on ${name}`, {
    subject: path,
    hint: 'put the home on another file system, for example a volume of ext4 or xfs',
  });
}
