/**
 * Pseudo-links of aufs: a lower file that was given another name lies in the writable branch under the new name only;
 * the old name shows the same inode while the mount lasts, by an entry `.wh..wh.plnk/<inode in the view>.<inode in the
 * branch>`. Flushing makes real links of them, what `auplink MOUNT flush` does before an unmount: every name of such an
 * inode is copied up, which links it to the one in the branch, and then the entries go.
 *
 * Source: aufs manual, "Pseudo Link"; the steps were measured on aufs 6.1.
 */
import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AT_SYMLINK_NOFOLLOW, MS_REMOUNT } from '../constants.js';
import { hasErrno } from '../native/errno.js';
import { AT_FDCWD, type PathBytes, type Syscalls } from '../syscalls.js';

const directoryName = '.wh..wh.plnk';

/**
 * Flushes the pseudo-links of a mounted aufs. Cost: one listing where there are none, otherwise a walk over the view.
 * @param branch the writable branch
 * @returns how many entries there were
 * @throws the system's error; the entries are all still there then
 */
export async function flushPseudoLinks(sys: Syscalls, view: string, branch: string): Promise<number> {
  const directory = join(branch, directoryName);
  const entries = entryNames(directory);
  if (entries.length === 0) return 0;
  await copyUp(sys, view, new Set(entries.map((name) => BigInt(name.split('.')[0] ?? ''))));
  // Makes the kernel forget its list; the files are for us to delete.
  sys.mount('none', view, 'aufs', MS_REMOUNT, 'clean_plink');
  for (const name of entries) unlinkIfPresent(sys, join(directory, name));
  return entries.length;
}

function entryNames(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => /^\d+\.\d+$/.test(name));
  } catch (error) {
    // A branch that was never mounted, or with `noplink`.
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** Setting a file's own times is a write, and does not drop setuid as lchown(2) would. */
async function copyUp(sys: Syscalls, view: string, inodes: ReadonlySet<bigint>): Promise<void> {
  const pending = [Buffer.from(view)];
  const device = deviceOf(sys, view);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const parent = Buffer.concat([directory, Buffer.from('/')]);
    for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
      const path = Buffer.concat([parent, entry.name]);
      if (!entry.isDirectory()) touch(sys, path, inodes);
      // What others mounted inside the view has inode numbers of its own.
      else if (deviceOf(sys, path) === device) pending.push(path);
    }
  }
}

function deviceOf(sys: Syscalls, path: PathBytes): string | undefined {
  const status = sys.statxIfPresent(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  return status === undefined ? undefined : `${status.deviceMajor}:${status.deviceMinor}`;
}

function touch(sys: Syscalls, path: Buffer, inodes: ReadonlySet<bigint>): void {
  const status = sys.statxIfPresent(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  if (status === undefined || !inodes.has(status.inode)) return;
  sys.utimensat(AT_FDCWD, path, status.accessedNs, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
}

function unlinkIfPresent(sys: Syscalls, path: string): void {
  try {
    sys.unlinkat(AT_FDCWD, path, 0);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}
