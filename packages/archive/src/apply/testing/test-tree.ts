/** Temporary trees for tests of applying. */
import { mkdirSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import { removeTree } from '@layerstore/linux';
import type { Dialect } from '../../layer-tree.js';
import { applyLayer, type AppliedLayer, type ApplyOptions } from '../apply-layer.js';
import { layerArchive, type CraftedMember } from './crafted-layer.js';

export interface AppliedTree {
  readonly path: string;
  readonly applied: AppliedLayer;
}

/** A directory for one test; disposing deletes it. */
export class TestDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'layerstore-apply-'));
  #count = 0;

  /** A new empty directory. */
  tree(): string {
    const path = join(this.path, `tree-${this.#count++}`);
    mkdirSync(path);
    return path;
  }

  apply(
    members: readonly (CraftedMember | Buffer)[],
    dialect: Dialect = 'overlay',
    options: Partial<ApplyOptions> = {},
  ): AppliedTree {
    const path = this.tree();
    const applied = applyLayer([layerArchive(...members)], { tree: { path, dialect }, ...options });
    return { path, applied };
  }

  [Symbol.dispose](): void {
    removeTree(this.path);
  }
}

/** The error that an archive is refused with. */
export function refusal(run: () => unknown): StoreError {
  try {
    run();
  } catch (error) {
    if (StoreError.is(error)) return error;
    throw error;
  }
  throw new Error('THE ARCHIVE WAS ACCEPTED');
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
