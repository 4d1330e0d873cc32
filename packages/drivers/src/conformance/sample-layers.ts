import { chmodSync, chownSync, mkdirSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId, type LayerId } from '@layerstore/core';
import type { OpenedHome } from './subject.js';

export const base = parseLayerId('Base');
export const snapshot = parseLayerId('Snap');
export const sibling = parseLayerId('Sibling');

/** Makes the layer `Base` with what drivers lose easily: a sticky directory of another owner, a setuid file. */
export async function makeBase(home: OpenedHome): Promise<void> {
  await home.driver.create(base);
  await home.fill(base, (view) => {
    const directory = join(view, 'a subdir');
    mkdirSync(directory);
    chownSync(directory, 1, 2);
    chmodSync(directory, 0o1705);
    const file = join(view, 'a file');
    writeFileSync(file, 'Some data');
    chmodSync(file, 0o4222);
  });
}

/** Makes a layer with `count` files `dir-X/file-N`, ten in each directory, whose sizes differ. */
export async function makeFiles(home: OpenedHome, id: LayerId, count: number, parent?: LayerId): Promise<void> {
  await home.driver.create(id, parent === undefined ? {} : { parent });
  await home.fill(id, (view) => {
    for (let number = 0; number < count; number++) {
      const directory = join(view, `dir-${Math.floor(number / 10)}`);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `file-${number}`), `${number} `.repeat(number + 1));
    }
  });
}

/** Rewrites the first ten files of {@link makeFiles}, deletes one file of the others and one directory. */
export function editFiles(view: string): void {
  for (let number = 0; number < 10; number++) writeFileSync(join(view, 'dir-0', `file-${number}`), `new ${number}`);
  rmSync(join(view, 'dir-1', 'file-10'));
  rmSync(join(view, 'dir-2'), { recursive: true });
  writeFileSync(join(view, 'added'), 'added');
}

/**
 * Makes layers `layer-0`, `layer-1`, ... each over the one before: with a file `from-N`, and a file `shared` that holds
 * N. Written where archives are unpacked, not through views: unmounting an overlay syncs the whole file system.
 * @returns the uppermost
 */
export async function makeStack(home: OpenedHome, layers: number): Promise<LayerId> {
  let parent: LayerId | undefined;
  for (let number = 0; number < layers; number++) {
    const id = parseLayerId(`layer-${number}`);
    await home.driver.create(id, parent === undefined ? {} : { parent });
    const { tree } = await home.driver.applyTarget(id);
    for (const name of [`from-${number}`, 'shared']) writeFileSync(join(tree.path, name), `${number}`);
    parent = id;
  }
  return parent ?? parseLayerId('layer-0');
}
