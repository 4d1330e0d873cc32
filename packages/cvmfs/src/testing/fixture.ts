import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RepositoryConfiguration } from '../configuration/configuration.js';

const fixtures = fileURLToPath(new URL('../../../../test/fixtures/cvmfs-repo/', import.meta.url));

/** The repository that the standard publishing tools made; see the README beside it. */
export const fixtureName = 'amber.example.org';
export const fixtureKey = readFileSync(join(fixtures, `${fixtureName}.pub`), 'utf8');

/** Unpacks it into a directory and returns its root. */
export function unpackFixture(directory: string): string {
  execFileSync('tar', ['-xzf', join(fixtures, `${fixtureName}.tar.gz`), '-C', directory]);
  return join(directory, fixtureName);
}

/** An entry as the standard client shows it. */
export interface ExpectedEntry {
  readonly path?: string;
  readonly path_b64?: string;
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly mtime_ns: number;
  readonly nlink: number;
  readonly sha256?: string;
  readonly link?: string;
  readonly rdev?: readonly [number, number];
  readonly xattrs_b64?: Readonly<Record<string, string>>;
  readonly hardlink_group?: number;
}

/** @param file `manifest.json`, or `manifest-first.json` of an older tag */
export function expectedEntries(file: string): ExpectedEntry[] {
  return (JSON.parse(readFileSync(join(fixtures, file), 'utf8')) as { entries: ExpectedEntry[] }).entries;
}

/** Without patience, so that a failure is told at once. */
export function configurationOf(
  servers: readonly string[],
  cacheDirectory: string,
  further: Partial<RepositoryConfiguration> = {},
): RepositoryConfiguration {
  return {
    name: fixtureName,
    servers,
    masterKeys: [fixtureKey],
    cacheDirectory,
    ...further,
    network: { firstPause: 1, longestPause: 5, ...further.network },
  };
}
