import { StoreError, type IdMaps, type Logger } from '@layerstore/core';
import type { ArchiveWorkers } from '@layerstore/archive';
import type { Mounter } from '@layerstore/linux';
import type { LayerSource } from './thin/layer-source.js';
import type { ThinSettings } from './thin/thin-options.js';

/** Keys to values, as users write them. */
export type StorageOptions = Readonly<Record<string, string>>;

/** What every driver is opened with. */
export interface DriverOptions {
  /** Performs the test mount of a new home, and unmounts what dead processes left in staging. */
  readonly mounter: Mounter;
  /** Threads in which trees are copied and deleted; without them it happens in the calling thread. */
  readonly workers?: ArchiveWorkers;
  /** `--storage-opt`: keys as the driver's documentation spells them, `overlay2.size` for example. */
  readonly storageOptions?: StorageOptions;
  /**
   * `checked`, the default: the records of a stack are read and compared at every use. `remembered`: once, for processes
   * that live long and use the same stacks again and again.
   */
  readonly records?: 'checked' | 'remembered';
  readonly logger?: Logger;
  /** Owners inside containers and on the host, where they differ. */
  readonly idMaps?: IdMaps;
  /**
   * `read-only`: nothing is written into the home, which may belong to somebody else; what a view needs besides lies in
   * `/run/layerstore/<hash of the home>/`. Default `read-write`.
   */
  readonly access?: 'read-write' | 'read-only';
  /**
   * What may become a home of the driver: `any` directory, the default; only one that is missing or `empty`; or `nothing`,
   * which also goes for a read-only home. Otherwise a directory that is no home is ERR_NOT_A_HOME, a missing one
   * ERR_NOT_FOUND.
   */
  readonly create?: 'any' | 'empty' | 'nothing';
  /** Opens repositories for thin images without another program; absent where thin images need one. */
  readonly nativeRepositories?: (settings: ThinSettings) => LayerSource;
}

export interface StorageOptionRules {
  readonly driver: string;
  /** Known and looked at by the driver. */
  readonly accepted?: readonly string[];
  /** Known to Docker's driver of this name and without effect here. */
  readonly ignored: readonly string[];
  /** Known, but not available: key to reason. */
  readonly refused: Readonly<Record<string, string>>;
}

/** Why a driver that has no limits in Docker has none here. */
export const noProjectQuotas = 'the driver sets no project quotas';

/**
 * Checks options that an engine or a user passed.
 * @throws StoreError ERR_UNKNOWN_OPTION with the keys that exist
 * @throws StoreError ERR_NOT_SUPPORTED with the reason
 */
export function checkStorageOptions(options: StorageOptions | undefined, rules: StorageOptionRules): void {
  for (const key of Object.keys(options ?? {})) {
    if (rules.ignored.includes(key)) continue;
    if (Object.hasOwn(rules.refused, key)) {
      throw new StoreError('ERR_NOT_SUPPORTED', `${rules.driver} cannot keep the limit: ${rules.refused[key] ?? ''}`, {
        subject: `storage option ${key}`,
        hint: 'leave the option out',
      });
    }
    if (rules.accepted?.includes(key) === true) continue;
    const known = [...new Set([...(rules.accepted ?? []), ...rules.ignored, ...Object.keys(rules.refused)])];
    throw new StoreError('ERR_UNKNOWN_OPTION', `not known to ${rules.driver}`, {
      subject: `storage option ${JSON.stringify(key)}`,
      hint: known.length === 0 ? `${rules.driver} has no options` : `${rules.driver} knows ${known.join(', ')}`,
    });
  }
}
