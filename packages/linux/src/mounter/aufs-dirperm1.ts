import { mkdtempSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { MNT_DETACH } from '../constants.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { removeTree } from '../remove-tree.js';
import type { Syscalls } from '../syscalls.js';
import { mountFirst } from './aufs-mount.js';
import { INODE_NUMBERS } from './aufs-options.js';

const answers = new WeakMap<Syscalls, Promise<boolean>>();

/**
 * Does this aufs know `dirperm1`, with which only the uppermost branch decides about permissions? Tried by a mount, once
 * per process.
 * @param directory absolute path of an existing directory for two temporary ones
 * @throws StoreError ERR_IO when they cannot be made or removed
 */
export async function supportsDirperm1(directory: string, syscalls: Syscalls = nativeSyscalls()): Promise<boolean> {
  const answer = answers.get(syscalls) ?? probe(directory, syscalls);
  answers.set(syscalls, answer);
  return answer;
}

async function probe(directory: string, sys: Syscalls): Promise<boolean> {
  const base = mkdtempSync(join(directory, 'aufs-base-'));
  const union = mkdtempSync(join(directory, 'aufs-union-'));
  try {
    await mountFirst(sys, union, `br:${base},dirperm1,${INODE_NUMBERS}`);
    sys.umount(union, MNT_DETACH);
    return true;
  } catch {
    // Whatever the reason: views are mounted without it then.
    return false;
  } finally {
    rmdirSync(union);
    removeTree(base);
  }
}
