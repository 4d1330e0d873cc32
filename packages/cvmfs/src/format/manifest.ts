import { formatHash, parseHash, type ContentHash } from './content-hash.js';
import { malformed } from './malformed.js';

/** The unsigned text of `.cvmfspublished`: what a repository is at the moment. */
export interface Manifest {
  readonly name: string;
  readonly rootCatalog: ContentHash;
  /** Bytes of the root catalog after decompression; undefined in old manifests. */
  readonly rootCatalogSize: number | undefined;
  readonly revision: number;
  /** Seconds after which to look for a new one. */
  readonly timeToLive: number;
  /** Seconds since 1970 at which it was published. */
  readonly publishedAt: number;
  readonly certificate: ContentHash;
  readonly history: ContentHash | undefined;
  readonly metainfo: ContentHash | undefined;
  readonly reflog: ContentHash | undefined;
  readonly isGarbageCollectable: boolean;
  /** Catalogs also lie under `.cvmfsalt-` names. */
  readonly hasAlternativePath: boolean;
}

/** A manifest is some hundred bytes; nothing sensible comes near this. */
export const MANIFEST_LIMIT = 64 * 1024;

/** MD5 of the empty string: path of the root catalog. */
const ROOT_PATH_HASH = 'd41d8cd98f00b204e9800998ecf8427e';

/**
 * Reads the text in front of a manifest's signature: a line per value, its first letter the key. Unknown keys are passed over.
 * @throws StoreError ERR_MALFORMED_REPOSITORY
 */
export function parseManifest(text: Buffer, subject: string): Manifest {
  const values = new Map<string, string>();
  for (const line of text.toString('latin1').split('\n')) if (line !== '') values.set(line.slice(0, 1), line.slice(1));
  const fail = (reason: string): never => {
    throw malformed(subject, reason);
  };
  const hash = (key: string): ContentHash | undefined => {
    const value = values.get(key);
    return value === undefined ? undefined : (parseHash(value) ?? fail(`its value ${key} is not a hash`));
  };
  const whole = (key: string): number | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    return /^\d{1,15}$/.test(value) ? Number(value) : fail(`its value ${key} is not a number`);
  };
  const required = <T>(value: T | undefined, key: string): T => value ?? fail(`it has no value ${key}`);
  if (values.get('R') !== ROOT_PATH_HASH) fail('its root catalog is not the one of the root');
  return {
    name: required(values.get('N'), 'N'),
    rootCatalog: required(hash('C'), 'C'),
    rootCatalogSize: whole('B'),
    revision: required(whole('S'), 'S'),
    timeToLive: required(whole('D'), 'D'),
    publishedAt: whole('T') ?? 0,
    certificate: required(hash('X'), 'X'),
    history: hash('H'),
    metainfo: hash('M'),
    reflog: hash('Y'),
    isGarbageCollectable: values.get('G') === 'yes',
    hasAlternativePath: values.get('A') === 'yes',
  };
}

/** The text to be signed, keys in the order of the standard tools. */
export function serialiseManifest(manifest: Manifest): Buffer {
  const lines: (readonly [string, string | undefined])[] = [
    ['C', formatHash(manifest.rootCatalog)],
    ['B', manifest.rootCatalogSize?.toString()],
    ['R', ROOT_PATH_HASH],
    ['D', String(manifest.timeToLive)],
    ['S', String(manifest.revision)],
    ['G', manifest.isGarbageCollectable ? 'yes' : 'no'],
    ['A', manifest.hasAlternativePath ? 'yes' : 'no'],
    ['N', manifest.name],
    ['X', formatHash(manifest.certificate)],
    ['H', manifest.history && formatHash(manifest.history)],
    ['T', String(manifest.publishedAt)],
    ['M', manifest.metainfo && formatHash(manifest.metainfo)],
    ['Y', manifest.reflog && formatHash(manifest.reflog)],
  ];
  const text = lines.flatMap(([key, value]) => (value === undefined ? [] : [`${key}${value}\n`])).join('');
  return Buffer.from(text, 'latin1');
}
