import { isAbsolute } from 'node:path';
import { StoreError } from '@layerstore/core';
import type { StorageOptions } from '../driver-options.js';
import type { MountMethodName } from './layer-source.js';

/** How thin layers are shown. */
export interface ThinSettings {
  readonly method: MountMethodName;
  /** `external`: the directory in which repositories are mounted; `internal`: where to mount them. */
  readonly mountPath: string | undefined;
  /** The directory of public keys, for the methods that leave trust to the standard client. */
  readonly keys: string;
  /** Configuration file of our own client. */
  readonly configuration: string | undefined;
  /** The program of the standard client. */
  readonly program: string | undefined;
}

const methods: readonly MountMethodName[] = ['native', 'external', 'internal'];

/** Options of thin images; the first two have the names of docker-graphdriver, whose default was `internal`. */
export const thinOptionKeys = [
  'cvmfsMountMethod',
  'cvmfsMountPath',
  'thin.enabled',
  'thin.keys',
  'thin.config',
  'thin.program',
] as const;

export interface SplitOptions {
  /** Absent where thin support is not switched on. */
  readonly thin: ThinSettings | undefined;
  /** For the driver itself. */
  readonly others: StorageOptions | undefined;
}

/**
 * Takes the options of thin images out of a driver's. `thin.enabled=true` or a `cvmfsMountMethod` switch thin support on.
 * @throws StoreError ERR_INVALID_ARGUMENT for a value that is none, or an option that means nothing with the others
 */
export function splitThinOptions(options: StorageOptions | undefined): SplitOptions {
  const entries = Object.entries(options ?? {});
  const isThin = ([key]: [string, string]): boolean => (thinOptionKeys as readonly string[]).includes(key);
  const others = options === undefined ? undefined : Object.fromEntries(entries.filter((entry) => !isThin(entry)));
  const given = new Map(entries.filter(isThin));
  const method = oneOf(given, 'cvmfsMountMethod', methods);
  const enabled = oneOf(given, 'thin.enabled', ['true', 'false']) ?? (method === undefined ? undefined : 'true');
  if (enabled !== 'true') {
    refuseWithoutUse(given, enabled === 'false' ? thinOptionKeys : ['thin.enabled']);
    return { thin: undefined, others };
  }
  const settings: ThinSettings = {
    method: method ?? 'native',
    mountPath: path(given, 'cvmfsMountPath'),
    keys: path(given, 'thin.keys') ?? '/etc/cvmfs/keys',
    configuration: path(given, 'thin.config'),
    program: path(given, 'thin.program'),
  };
  refuseWithoutUse(given, ['thin.enabled', 'cvmfsMountMethod', ...keysOf[settings.method]]);
  return { thin: settings, others };
}

/** What means something with a method. */
const keysOf: Readonly<Record<MountMethodName, readonly string[]>> = {
  native: ['thin.config'],
  external: ['cvmfsMountPath', 'thin.keys'],
  internal: ['cvmfsMountPath', 'thin.keys', 'thin.program'],
};

function oneOf<Value extends string>(
  given: ReadonlyMap<string, string>,
  key: string,
  values: readonly Value[],
): Value | undefined {
  const value = given.get(key);
  if (value === undefined) return undefined;
  const found = values.find((each) => each === value);
  if (found !== undefined) return found;
  throw invalid(key, `${JSON.stringify(value.slice(0, 100))} is none of ${values.join(', ')}`);
}

function path(given: ReadonlyMap<string, string>, key: string): string | undefined {
  const value = given.get(key);
  if (value === undefined || (isAbsolute(value) && !value.includes('\0'))) return value;
  throw invalid(key, 'not an absolute path');
}

function refuseWithoutUse(given: ReadonlyMap<string, string>, used: readonly string[]): void {
  const idle = [...given.keys()].find((key) => !used.includes(key));
  if (idle === undefined) return;
  throw invalid(idle, `it has no effect ${given.size === 1 ? 'by itself' : 'with the other options'}`);
}

function invalid(key: string, reason: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', reason, {
    subject: `storage option ${key}`,
    hint: 'docs/thin.md lists the options of thin images',
  });
}
