import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ArchiveWorkers } from '@layerstore/archive';
import { StoreError, type Logger } from '@layerstore/core';
import { detectDriver, driverNames, openDriver, type DriverOptions, type GraphDriver } from '@layerstore/drivers';
import type { Mounter } from '@layerstore/linux';
import { nativeRepositories } from '../thin/native-repositories.js';

export interface OpenHomeOptions {
  /** The directory that a driver owns: `/var/lib/docker/overlay2`, for example. */
  readonly home: string;
  /** Default: the driver whose home the directory looks like. */
  readonly driver?: string;
  /** `read-only`: not a byte of the home changes, its views take no writes. Default `read-write`. */
  readonly access?: 'read-write' | 'read-only';
  /** Whether a home that is missing, or an empty directory, is made one; default false. Needs `driver`. */
  readonly create?: boolean;
  /** Options of the driver, by Docker's names. */
  readonly storageOptions?: Readonly<Record<string, string>>;
  readonly logger?: Logger;
}

/** What the driver of a home works with. */
export interface HomeTools {
  readonly mounter: Mounter;
  readonly workers: ArchiveWorkers;
}

/**
 * @throws StoreError ERR_NOT_FOUND, ERR_NOT_A_HOME, ERR_UNKNOWN_DRIVER
 * @throws StoreError what {@link openDriver} throws
 */
export async function openHomeDriver(options: OpenHomeOptions, tools: HomeTools): Promise<GraphDriver> {
  const home = resolve(options.home);
  return openDriver(options.driver ?? driverOf(home), home, { ...driverOptions(options), ...tools });
}

function driverOptions({ access, create, storageOptions, logger }: OpenHomeOptions): Omit<DriverOptions, 'mounter'> {
  return {
    create: create === true ? 'empty' : 'nothing',
    nativeRepositories: nativeRepositories(logger),
    ...(access === undefined ? {} : { access }),
    ...(storageOptions === undefined ? {} : { storageOptions }),
    ...(logger === undefined ? {} : { logger }),
  };
}

function driverOf(home: string): string {
  const detected = detectDriver(home);
  if (detected !== undefined) return detected;
  const [code, reason] = existsSync(home)
    ? (['ERR_NOT_A_HOME', 'it looks like the home of no driver'] as const)
    : (['ERR_NOT_FOUND', 'there is no such directory'] as const);
  throw new StoreError(code, reason, {
    subject: home,
    hint: `name the directory that the driver owns, or the driver of a new one with --driver: ${driverNames.join(', ')}`,
  });
}

/**
 * Refuses to change layers that the database of a root knows: it would go on naming what is gone.
 * @throws StoreError ERR_NOT_SUPPORTED
 */
export function refuseHomeOfRoot(home: string): void {
  const root = dirname(home);
  if (basename(home) !== 'home' || !existsSync(join(root, 'meta.db'))) return;
  throw new StoreError('ERR_NOT_SUPPORTED', `its layers belong to the layerstore root ${root}`, {
    subject: home,
    hint: `use the commands for images and containers with --root ${root}; layers may be read here`,
  });
}
