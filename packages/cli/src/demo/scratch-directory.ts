import { mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromSystemError } from '@layerstore/core';
import {
  MNT_DETACH,
  UMOUNT_NOFOLLOW,
  mountsBelow,
  nativeSyscalls,
  readMountTable,
  removeTree,
} from '@layerstore/linux';

/** A temporary directory that goes with everything in it, unless it is kept. */
export class ScratchDirectory implements AsyncDisposable {
  private constructor(
    readonly path: string,
    private readonly keep: boolean,
  ) {}

  /** @throws StoreError ERR_IO, ERR_NO_SPACE */
  static async make(prefix: string, options: { readonly keep: boolean }): Promise<ScratchDirectory> {
    try {
      return new ScratchDirectory(await mkdtemp(join(await realpath(tmpdir()), prefix)), options.keep);
    } catch (error) {
      throw fromSystemError(error, tmpdir());
    }
  }

  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** A program that was ended in the middle can leave mounts; removing files through one of them would reach outside. */
  [Symbol.asyncDispose](): Promise<void> {
    for (const { mountPoint } of mountsBelow(readMountTable(), this.path).reverse()) {
      nativeSyscalls().umount(mountPoint, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    if (!this.keep) removeTree(this.path);
    return Promise.resolve();
  }
}
