import { createHash } from 'node:crypto';
import { closeSync } from 'node:fs';
import { digestFromHex, fromSystemError, StoreError } from '@layerstore/core';
import {
  AT_FDCWD,
  hasErrno,
  nativeSyscalls,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_IN_ROOT,
} from '@layerstore/linux';
import { cleanName, nameText } from '../apply/member-name.js';
import type { ByteSource } from '../byte-source.js';
import { joinTarSplit } from '../tar-split/join.js';
import type { StoredLayer } from './jobs.js';

/**
 * The tar of a stored layer, byte for byte, checked at its end against size and diff ID.
 *
 * Members are opened the way they were written: below the layer's root, following symlinks inside it only.
 * @throws StoreError ERR_STORE_DAMAGED when a file is missing or altered
 */
export function* layerTar(layer: StoredLayer): ByteSource {
  const syscalls = nativeSyscalls();
  const root = openRoot(layer);
  const hash = createHash('sha256');
  let size = 0;
  try {
    const open = (name: Buffer): number => {
      const flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
      try {
        return syscalls.openat2(root, cleanName(name), { flags, resolve: RESOLVE_IN_ROOT });
      } catch (error) {
        if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) throw fromSystemError(error, nameText(name));
        throw damaged(layer, `the file ${nameText(name)} is missing`, error);
      }
    };
    for (const chunk of joinTarSplit(layer.tarSplitPath, open)) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  } finally {
    closeSync(root);
  }
  const diffId = digestFromHex(hash.digest('hex'));
  if (size !== layer.size || diffId !== layer.diffId) throw damaged(layer, `its content gives the diff ID ${diffId}`);
}

function openRoot(layer: StoredLayer): number {
  try {
    return nativeSyscalls().openat(AT_FDCWD, layer.tree.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    throw damaged(layer, `its directory ${layer.tree.path} cannot be opened`, error);
  }
}

function damaged(layer: StoredLayer, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: layer.diffId,
    hint: 'remove the images that stand on the layer and load them again; `layerstore check --verify` lists all',
    cause,
  });
}
