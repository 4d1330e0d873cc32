/**
 * Which directories a mounted aufs joins: `/sys/fs/aufs/si_<si>/br<N>`, or the mount table where the module was loaded
 * with `brs=0` (aufs manual, "Sysfs and debugfs").
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unescapeOctal, type MountTableEntry } from '../mount-table.js';
import { hasErrno } from '../native/errno.js';

export interface AufsBranch {
  readonly path: string;
  /** `rw`, `ro+wh`, `ro`, ... */
  readonly permission: string;
}

/** The branches, uppermost first; `undefined` when neither place names them. */
export function readAufsBranches(mount: MountTableEntry, sysfs = '/sys/fs/aufs'): AufsBranch[] | undefined {
  const id = mount.superOptions.find((option) => option.startsWith('si='))?.slice('si='.length);
  const listed = id === undefined || !/^[0-9a-f]+$/.test(id) ? [] : branchFiles(join(sysfs, `si_${id}`));
  if (listed.length > 0) return listed;
  const inTable = mount.superOptions.find((option) => option.startsWith('br:'));
  return inTable?.slice('br:'.length).split(':').map(parseBranch);
}

function branchFiles(directory: string): AufsBranch[] {
  const numbers = names(directory)
    .flatMap((name) => /^br(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((one, other) => one - other);
  return numbers.map((number) => parseBranch(readFileSync(join(directory, `br${number}`), 'utf8').trimEnd()));
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** No path of a branch holds an equals sign: aufs cannot be told one. */
function parseBranch(text: string): AufsBranch {
  const [path = '', permission = ''] = text.split('=');
  return { path: unescapeOctal(path), permission };
}
