import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import * as v from 'valibot';
import { parseHash } from '../format/content-hash.js';
import type { RepositoryConfiguration } from './configuration.js';
import { readKey } from './standard-configuration.js';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What may be said of a repository, or of all in `defaults`. */
const settingsShape = v.strictObject({
  servers: v.optional(v.array(v.string())),
  proxies: v.optional(v.array(v.array(v.string()))),
  /** Paths of files with a master key, from the directory of this file. */
  keys: v.optional(v.array(v.string())),
  blacklist: v.optional(v.string()),
  cacheDirectory: v.optional(v.string()),
  /** Bytes; null for no limit. */
  cacheLimit: v.optional(v.nullable(count)),
  tag: v.optional(v.string()),
  rootHash: v.optional(v.string()),
  linkVariables: v.optional(v.record(v.string(), v.string())),
  expiredOffline: v.optional(v.picklist(['refuse', 'accept'])),
  network: v.optional(
    v.strictObject({
      timeout: v.optional(count),
      directTimeout: v.optional(count),
      lowSpeedLimit: v.optional(count),
      retries: v.optional(count),
      firstPause: v.optional(count),
      longestPause: v.optional(count),
      resetAfter: v.optional(count),
      concurrency: v.optional(v.pipe(count, v.minValue(1), v.maxValue(1024))),
    }),
  ),
});

const fileShape = v.strictObject({
  defaults: v.optional(settingsShape, {}),
  repositories: v.optional(v.record(v.string(), settingsShape), {}),
});

type Settings = v.InferOutput<typeof settingsShape>;

/**
 * Reads a configuration file of ours, JSON: `{"defaults": {...}, "repositories": {"sw.example.org": {...}}}`. Nothing where there is no file.
 * @throws StoreError ERR_INVALID_ARGUMENT for a file that cannot be understood; ERR_NOT_FOUND for a key that is not there; ERR_IO, ERR_NEEDS_ROOT
 */
export function readOwnConfiguration(name: string, path: string): Partial<Omit<RepositoryConfiguration, 'name'>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return {};
    throw fromSystemError(error, path);
  }
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), fileShape), text);
  if (!result.success) {
    const [issue] = result.issues;
    const place = v.getDotPath(issue);
    throw new StoreError('ERR_INVALID_ARGUMENT', `${place === null ? '' : `${place}: `}${issue.message}`, {
      subject: path,
      hint: 'docs/thin.md lists the settings',
    });
  }
  const { defaults, repositories } = result.output;
  const own = Object.hasOwn(repositories, name) ? repositories[name] : undefined;
  const network = { ...defaults.network, ...own?.network };
  return configurationOf({ ...defaults, ...own, network: network }, path);
}

function configurationOf(settings: Settings, path: string): Partial<Omit<RepositoryConfiguration, 'name'>> {
  const { keys, blacklist, cacheLimit, tag, rootHash, network, ...rest } = settings;
  const rootCatalog = rootHash === undefined ? undefined : parseHash(rootHash);
  if (rootHash !== undefined && rootCatalog === undefined) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'rootHash is not a hash', { subject: path });
  }
  const near = (file: string): string => resolve(dirname(path), file);
  const present = <T extends object>(record: T): { [Key in keyof T]: Exclude<T[Key], undefined> } =>
    Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never;
  return {
    ...present(rest),
    ...(keys === undefined ? {} : { masterKeys: keys.map((file) => readKey(near(file))) }),
    ...(blacklist === undefined ? {} : { blacklist: readKey(near(blacklist)) }),
    ...(cacheLimit === undefined ? {} : { cacheLimit: cacheLimit ?? undefined }),
    ...(tag === undefined ? {} : { revision: { kind: 'tag', tag } }),
    ...(rootCatalog === undefined ? {} : { revision: { kind: 'root-hash', rootCatalog } }),
    ...(network === undefined ? {} : { network: present(network) }),
  };
}
