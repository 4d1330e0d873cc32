import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDirectory, listOptional } from '../home/optional-file.js';
import { unsharedDirectory } from './unshared-layers.js';

/**
 * Whether a directory is a home of `overlay` for all one can see: Docker's first overlay driver kept an image in `root/`, and a container
 * with the id of its image beside it. Its home without layers is an empty directory, which may be anything; ours still has its
 * records.
 */
export function isOverlayHome(home: string): boolean {
  const layers = listOptional(home).filter((entry) => entry.isDirectory());
  return (
    layers.some(({ name }) => isDirectory(join(home, name, 'root')) || existsSync(join(home, name, 'lower-id'))) ||
    isDirectory(join(home, '.layerstore', unsharedDirectory))
  );
}
