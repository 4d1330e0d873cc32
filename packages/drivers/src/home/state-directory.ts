/**
 * Where layerstore keeps what belongs to a home that it must not write into.
 *
 * ```
 * /run/layerstore/                      0700
 * /run/layerstore/<32 hex digits>/      0700, one for each home
 *   home                                the path of the home, for people who look around; with the first view
 *   staging/ views/ ...                 what `<home>/.layerstore/` holds in a home that may be written
 * ```
 *
 * All of it can be deleted while nothing of the home is mounted, and the next start of the machine does so.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError } from '@layerstore/core';

const runtimeDirectory = '/run/layerstore';

/**
 * The directory for one home, which is made where it is missing. Two processes that open the same home get the same one.
 * @param home the home, which must exist; its path is resolved
 * @returns an absolute path
 * @throws StoreError ERR_NEEDS_ROOT, ERR_NO_SPACE, ERR_IO
 */
export function stateDirectory(home: string): string {
  const directory = statePath(home);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'home'), `${realpathSync(home)}\n`, { mode: 0o600 });
    return directory;
  } catch (error) {
    throw fromSystemError(error, directory);
  }
}

/** Where {@link stateDirectory} is, made or not. @throws StoreError ERR_IO when there is no home */
export function statePath(home: string): string {
  return join(runtimeDirectory, identityOf(home));
}

/**
 * Another disk may be mounted at the same path an hour later: its layers must not meet what was made for those of the
 * first one, so the directory itself counts with its path.
 */
function identityOf(home: string): string {
  try {
    const path = realpathSync(home);
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return createHash('sha256').update([path, dev, ino, birthtimeNs].join('\0')).digest('hex').slice(0, 32);
  } catch (error) {
    throw fromSystemError(error, home);
  }
}
