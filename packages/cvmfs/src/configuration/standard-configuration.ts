import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, StoreError, type Logger } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import { parseHash } from '../format/content-hash.js';
import { organisationOf } from '../format/repository-name.js';
import type { RevisionChoice } from '../repository/revision-record.js';
import type { NetworkPatience, RepositoryConfiguration } from './configuration.js';
import { parseParameters, type Parameters } from './parameter-file.js';

const MEGABYTE = 1024 * 1024;

/** Quota of the standard client where nothing is said, in its unit. */
const DEFAULT_QUOTA = '4000';

/**
 * Reads what `/etc/cvmfs` says of a repository: `default.conf`, `default.d/*.conf`, `default.local`, `domain.d/DOMAIN.{conf,local}`,
 * `config.d/NAME.{conf,local}`, later ones first; keys; `blacklist`. Parameters that are not known are passed over.
 * @param name a name that was checked
 * @throws StoreError ERR_INVALID_ARGUMENT, ERR_NOT_FOUND for a key that is not there; ERR_IO, ERR_NEEDS_ROOT
 */
export function readStandardConfiguration(
  name: string,
  directory: string,
  logger: Logger,
): Partial<Omit<RepositoryConfiguration, 'name'>> {
  const parameters = new Map<string, string>();
  for (const path of filesFor(name, directory)) {
    const text = readIfPresent(path);
    if (text === undefined) continue;
    for (const { line, text: ignored } of parseParameters(text, parameters)) {
      logger.warn({ path, line, ignored }, 'a line of the configuration is not a plain assignment and was passed over');
    }
  }
  return configurationOf(name, directory, parameters, logger);
}

function filesFor(name: string, directory: string): string[] {
  const domain = name.slice(organisationOf(name).length + 1);
  const shared = namesIn(join(directory, 'default.d')).filter((file) => file.endsWith('.conf'));
  return [
    'default.conf',
    ...shared.sort().map((file) => join('default.d', file)),
    'default.local',
    ...(domain === '' ? [] : [join('domain.d', `${domain}.conf`), join('domain.d', `${domain}.local`)]),
    join('config.d', `${name}.conf`),
    join('config.d', `${name}.local`),
  ].map((file) => join(directory, file));
}

function configurationOf(
  name: string,
  directory: string,
  parameters: Parameters,
  logger: Logger,
): Partial<Omit<RepositoryConfiguration, 'name'>> {
  const given = (key: string): string | undefined => {
    const value = parameters.get(key)?.trim();
    return value === '' ? undefined : value;
  };
  const number = (key: string, fallback?: string): number | undefined => {
    const value = given(key) ?? fallback;
    if (value === undefined) return undefined;
    if (/^-?\d{1,12}$/.test(value)) return Number(value);
    throw new StoreError('ERR_INVALID_ARGUMENT', `${key} is not a number (${value})`, { subject: name });
  };
  const seconds = (key: string): number | undefined => scaled(number(key), 1000);
  const servers = listOf(given('CVMFS_SERVER_URL'), ';').map((url) =>
    url.replaceAll('@fqrn@', name).replaceAll('@org@', organisationOf(name)),
  );
  const quota = number('CVMFS_QUOTA_LIMIT', DEFAULT_QUOTA) ?? -1;
  const cacheBase = given('CVMFS_CACHE_DIR') ?? given('CVMFS_CACHE_BASE');
  const blacklist = readIfPresent(join(directory, 'blacklist'));
  const revision = revisionOf(name, given('CVMFS_ROOT_HASH'), given('CVMFS_REPOSITORY_TAG'));
  const proxies = proxiesOf(given('CVMFS_HTTP_PROXY'), given('CVMFS_FALLBACK_PROXY'), logger);
  return {
    servers,
    masterKeys: keysOf(name, directory, given('CVMFS_PUBLIC_KEY'), given('CVMFS_KEYS_DIR')),
    cacheLimit: quota < 0 ? undefined : quota * MEGABYTE,
    network: withoutUndefined<NetworkPatience>({
      timeout: seconds('CVMFS_TIMEOUT'),
      directTimeout: seconds('CVMFS_TIMEOUT_DIRECT'),
      retries: number('CVMFS_MAX_RETRIES'),
      firstPause: seconds('CVMFS_BACKOFF_INIT'),
      longestPause: seconds('CVMFS_BACKOFF_MAX'),
      lowSpeedLimit: number('CVMFS_LOW_SPEED_LIMIT'),
      resetAfter: seconds('CVMFS_PROXY_RESET_AFTER') ?? seconds('CVMFS_HOST_RESET_AFTER'),
    }),
    ...(proxies === undefined ? {} : { proxies }),
    // Beside the standard client's own files, which have another form.
    ...(cacheBase === undefined ? {} : { cacheDirectory: join(cacheBase, 'layerstore') }),
    ...(blacklist === undefined ? {} : { blacklist }),
    ...(revision === undefined ? {} : { revision }),
  };
}

/** Balanced proxies of a group stand between `|`, groups between `;`. */
function proxiesOf(text: string | undefined, fallback: string | undefined, logger: Logger): string[][] | undefined {
  const groups = [...listOf(text, ';'), ...listOf(fallback, ';')].map((group) => listOf(group, '|'));
  const usable = groups.map((group) => group.filter((proxy) => proxy !== 'auto')).filter((group) => group.length > 0);
  if (groups.flat().includes('auto')) logger.warn({}, 'proxies are not searched for (`auto`): name them');
  return usable.length === 0 ? undefined : usable;
}

function revisionOf(name: string, rootHash: string | undefined, tag: string | undefined): RevisionChoice | undefined {
  if (rootHash === undefined) return tag === undefined ? undefined : { kind: 'tag', tag };
  const rootCatalog = parseHash(rootHash);
  if (rootCatalog !== undefined) return { kind: 'root-hash', rootCatalog };
  throw new StoreError('ERR_INVALID_ARGUMENT', `CVMFS_ROOT_HASH is not a hash (${rootHash})`, { subject: name });
}

/** The keys that are named, else those that lie where keys of the repository or its domain usually do. */
function keysOf(name: string, directory: string, files: string | undefined, folder: string | undefined): string[] {
  const named = listOf(files, ':').map(readKey);
  if (named.length > 0) return named;
  if (folder !== undefined) return keysIn(folder);
  const keys = join(directory, 'keys');
  const own = readIfPresent(join(keys, `${name}.pub`));
  const domain = name.slice(organisationOf(name).length + 1);
  if (own !== undefined) return [own];
  return domain === '' ? [] : keysIn(join(keys, domain));
}

function keysIn(folder: string): string[] {
  return namesIn(folder)
    .filter((file) => file.endsWith('.pub'))
    .sort()
    .map((file) => readKey(join(folder, file)));
}

/** @throws StoreError ERR_NOT_FOUND, ERR_IO, ERR_NEEDS_ROOT */
export function readKey(path: string): string {
  const text = readIfPresent(path);
  if (text !== undefined) return text;
  throw new StoreError('ERR_NOT_FOUND', 'no such master key', { subject: path });
}

const listOf = (text: string | undefined, separator: string): string[] =>
  (text ?? '')
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');

const scaled = (value: number | undefined, factor: number): number | undefined =>
  value === undefined ? undefined : value * factor;

function withoutUndefined<T extends object>(record: { [Key in keyof T]?: T[Key] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw fromSystemError(error, path);
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw fromSystemError(error, directory);
  }
}
