/** Whether mounts made in the home are seen by the engine, which may live in a mount namespace of its own. */
import { mkdirSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import { parseMountTable, readMountTable, type Mounter, type MountTableEntry } from '@layerstore/linux';

/**
 * Makes a test mount where the engine has another mount namespace, and looks for it there.
 * @param home absolute path without symlinks
 * @param peer the engine's process; 0 when it cannot be seen
 * @throws StoreError ERR_MISSING_PREREQUISITE when mounts would not reach the engine
 */
export async function requirePropagation(home: string, peer: number, mounter: Mounter): Promise<void> {
  const theirs = namespaceOf(peer === 0 ? 1 : peer);
  if (theirs !== undefined && theirs === namespaceOf('self')) return;
  if (peer === 0 || theirs === undefined) {
    // The engine cannot be looked at: then only a shared mount can carry the views to it.
    if (holder(home).propagation.some((tag) => tag.startsWith('shared:'))) return;
    throw unreachable(home, 'an engine in another mount namespace');
  }
  if (!(await testMountReaches(home, peer, mounter))) throw unreachable(home, `the engine (pid ${peer})`);
}

async function testMountReaches(home: string, peer: number, mounter: Mounter): Promise<boolean> {
  const point = join(home, '.layerstore', 'propagation');
  mkdirSync(point, { recursive: true, mode: 0o700 });
  const plan = { kind: 'bind', source: join(home, '.layerstore'), readOnly: true } as const;
  const reaches = await mounter.withMount(plan, point, () => {
    const seen = parseMountTable(readFileSync(`/proc/${peer}/mountinfo`, 'utf8'));
    return Promise.resolve(seen.some((entry) => entry.mountPoint === point));
  });
  rmIfThere(point);
  return reaches;
}

function rmIfThere(point: string): void {
  try {
    rmdirSync(point);
  } catch {
    // The mounter has removed it with the mount.
  }
}

/** The mount that holds a path. */
function holder(path: string): MountTableEntry {
  const found = readMountTable()
    .filter(({ mountPoint }) => mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`))
    .sort((one, other) => one.mountPoint.length - other.mountPoint.length)
    .at(-1);
  if (found === undefined) throw new StoreError('ERR_INTERNAL', 'no mount holds the path', { subject: path });
  return found;
}

/** `undefined` for a process that has ended or may not be looked at. */
function namespaceOf(process: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/mnt`);
  } catch {
    return undefined;
  }
}

function unreachable(home: string, whom: string): StoreError {
  return new StoreError('ERR_MISSING_PREREQUISITE', `mounts made here would not reach ${whom}`, {
    subject: home,
    hint:
      'run the plugin in the mount namespace of the engine (no PrivateTmp=, ProtectSystem= or other sandboxing in its unit), or ' +
      `make the file system of the home shared before both start: mount --make-shared`,
  });
}
