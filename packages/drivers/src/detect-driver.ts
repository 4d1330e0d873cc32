import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDirectory, listOptional } from './home/optional-file.js';
import { unsharedDirectory } from './overlay/unshared-layers.js';
import { isDriverName, type DriverName } from './registry.js';

/** What tells a home of a driver from every other directory. */
const marks: readonly (readonly [name: string, marked: (home: string) => boolean])[] = [
  ['aufs', (home) => ['diff', 'layers', 'mnt'].every((name) => isDirectory(join(home, name)))],
  ['overlay2', (home) => isDirectory(join(home, 'l'))],
  ['vfs', (home) => isDirectory(join(home, 'dir'))],
  [
    'overlay',
    (home) =>
      listOptional(home).some((entry) => entry.isDirectory() && isOverlayLayer(join(home, entry.name))) ||
      // Docker's home without layers is an empty directory; ours still has its records.
      isDirectory(join(home, '.layerstore', unsharedDirectory)),
  ],
];

/**
 * The driver whose home a directory looks like; `undefined` for one that is empty, missing or something else. podman and
 * buildah keep their overlay homes as `overlay2` does.
 */
export function detectDriver(home: string): DriverName | undefined {
  return marks.find(([name, marked]) => isDriverName(name) && marked(home))?.[0] as DriverName | undefined;
}

/** Docker's first overlay driver kept an image in `root/`, and a container with the id of its image beside it. */
function isOverlayLayer(directory: string): boolean {
  return isDirectory(join(directory, 'root')) || existsSync(join(directory, 'lower-id'));
}
