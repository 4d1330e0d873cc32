import { join } from 'node:path';
import { isDirectory } from './home/optional-file.js';
import { isOverlayHome } from './overlay/is-overlay-home.js';
import { isDriverName, type DriverName } from './registry.js';

/** What tells a home of a driver from every other directory. */
const marks: readonly (readonly [name: string, marked: (home: string) => boolean])[] = [
  ['aufs', (home) => ['diff', 'layers', 'mnt'].every((name) => isDirectory(join(home, name)))],
  ['overlay2', (home) => isDirectory(join(home, 'l'))],
  ['vfs', (home) => isDirectory(join(home, 'dir'))],
  ['overlay', isOverlayHome],
];

/**
 * The driver whose home a directory looks like; `undefined` for one that is empty, missing or something else. podman and
 * buildah keep their overlay homes as `overlay2` does.
 */
export function detectDriver(home: string): DriverName | undefined {
  return marks.find(([name, marked]) => isDriverName(name) && marked(home))?.[0] as DriverName | undefined;
}
