/** `size` among the storage options of a driver and of a layer: kept where it can be, refused with the reason elsewhere. */
import { StoreError } from '@layerstore/core';
import { backingFileSystem, type ProjectQuotaCalls } from '@layerstore/linux';
import { checkStorageOptions, type StorageOptions } from '../driver-options.js';
import type { Home } from './home.js';
import { noQuotasOn, parseSize, ProjectQuotas, type NoQuotas } from './project-quotas.js';
import { existingPart } from './refuse-file-system.js';

type LimitedHome = Pick<Home, 'path' | 'state' | 'readOnly' | 'backingFileSystem'>;

export interface SizeOptions {
  readonly driver: string;
  /** The driver's options that give every writable layer a size, `overlay2.size` for example. */
  readonly keys: readonly string[];
  readonly storageOptions: StorageOptions | undefined;
}

/**
 * Refuses a size before anything is made where the file system cannot hold one.
 * @throws StoreError ERR_NOT_SUPPORTED with the reason, ERR_INVALID_ARGUMENT
 */
export function refuseSizeWithoutXfs(home: string, options: SizeOptions): void {
  const found = sizeIn(options);
  const { name } = backingFileSystem(existingPart(home));
  if (found !== undefined && name !== 'xfs') throw refusal(options.driver, found.key, noQuotasOn(name));
}

export class SizeLimits {
  private constructor(
    private readonly driver: string,
    private readonly quotas: ProjectQuotas | NoQuotas,
    private readonly defaultBytes: number | undefined,
  ) {}

  /**
   * @param layers directory of the home in which the layers lie
   * @throws StoreError ERR_NOT_SUPPORTED with the reason, ERR_INVALID_ARGUMENT
   */
  static open(home: LimitedHome, layers: string, options: SizeOptions, calls?: ProjectQuotaCalls): SizeLimits {
    const quotas = ProjectQuotas.find(home, layers, calls);
    const found = sizeIn(options);
    if (found !== undefined && !(quotas instanceof ProjectQuotas)) throw refusal(options.driver, found.key, quotas);
    return new SizeLimits(options.driver, quotas, found?.bytes);
  }

  get areEnforced(): boolean {
    return this.quotas instanceof ProjectQuotas;
  }

  /** For people: that limits are kept, or why not. */
  get summary(): string {
    return this.quotas instanceof ProjectQuotas ? 'enforced by project quotas' : `none: ${this.quotas.reason}`;
  }

  /**
   * The bytes that a writable layer may take; `undefined` for no limit.
   * @throws StoreError ERR_UNKNOWN_OPTION, ERR_NOT_SUPPORTED with the reason, ERR_INVALID_ARGUMENT
   */
  forLayer(storageOptions: StorageOptions | undefined): number | undefined {
    const { driver, quotas } = this;
    const refused = quotas instanceof ProjectQuotas ? {} : { size: quotas.reason };
    checkStorageOptions(storageOptions, { driver, accepted: ['size'], ignored: [], refused });
    return sizeIn({ driver, keys: ['size'], storageOptions })?.bytes ?? this.defaultBytes;
  }

  /** @param directory empty */
  async limit(directory: string, bytes: number): Promise<void> {
    if (this.quotas instanceof ProjectQuotas) await this.quotas.limit(directory, bytes);
  }
}

function sizeIn({ keys, storageOptions = {} }: SizeOptions): { key: string; bytes: number } | undefined {
  const key = keys.find((each) => Object.hasOwn(storageOptions, each));
  return key === undefined ? undefined : { key, bytes: parseSize(storageOptions[key] ?? '') };
}

function refusal(driver: string, key: string, { reason }: NoQuotas): StoreError {
  return new StoreError('ERR_NOT_SUPPORTED', `${driver} cannot keep the limit: ${reason}`, {
    subject: `storage option ${key}`,
    hint: 'leave the option out, or put the home on xfs that is mounted with prjquota',
  });
}
