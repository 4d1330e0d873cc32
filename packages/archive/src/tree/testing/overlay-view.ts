/** Real overlay mounts, for tests that compare with the kernel. */
import { mkdirSync } from 'node:fs';
import { MS_RDONLY, nativeSyscalls, UMOUNT_NOFOLLOW } from '@layerstore/linux';
import type { LayerTree } from '../../layer-tree.js';

/** Shows the stack read-only at `target`, which is made if missing, while `run` runs. */
export function withView<Result>(
  trees: readonly LayerTree[],
  target: string,
  run: (path: string) => Result,
  options = '',
): Result {
  const [only, second] = trees;
  if (only === undefined) throw new RangeError('a view needs a layer');
  if (second === undefined) return run(only.path);
  const lowers = trees.map(({ path }) => path).join(':');
  return withMount(`lowerdir=${lowers}${options}`, MS_RDONLY, target, run);
}

/**
 * Lets `edit` change the stack through an overlay, and gives back its upper as a layer. The mount is volatile:
 * unmounting an ordinary one writes the whole file system to disk.
 */
export function editedLayer(
  directory: string,
  name: string,
  lowers: readonly LayerTree[],
  edit: (path: string) => void,
  options = '',
): LayerTree {
  const [upper, work] = [`${directory}/${name}`, `${directory}/${name}-work`];
  for (const path of [upper, work]) mkdirSync(path);
  const data = `lowerdir=${lowers.map(({ path }) => path).join(':')},upperdir=${upper},workdir=${work},volatile${options}`;
  withMount(data, 0, `${directory}/${name}-view`, edit);
  return { path: upper, dialect: 'overlay' };
}

function withMount<Result>(data: string, flags: number, target: string, run: (path: string) => Result): Result {
  const kernel = nativeSyscalls();
  mkdirSync(target, { recursive: true });
  kernel.mount('overlay', target, 'overlay', flags, data);
  try {
    return run(target);
  } finally {
    kernel.umount(target, UMOUNT_NOFOLLOW);
  }
}
