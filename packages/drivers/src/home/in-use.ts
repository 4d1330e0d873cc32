import { StoreError, type LayerId } from '@layerstore/core';
import {
  describeHolders,
  findMountHolders,
  mountsBelow,
  readMountTable,
  type MountTableEntry,
} from '@layerstore/linux';

/**
 * Refuses work on a layer that somebody sees: something is mounted at or below one of `directories`, or an overlay writes
 * into them. The kernel's table is asked, so mounts of other programs count; those in other mount namespaces are not seen.
 * @throws StoreError ERR_BUSY with the mount points and the processes that use them
 */
export function refuseInUse(id: LayerId, ...directories: readonly string[]): void {
  const table = readMountTable();
  const places = new Set(directories.flatMap((directory) => usesOf(directory, table)));
  if (places.size === 0) return;
  const holders = describeHolders([...places].flatMap(findMountHolders));
  throw new StoreError(
    'ERR_BUSY',
    `the layer is mounted on ${[...places].join(', ')}${holders === '' ? '' : `, used by ${holders}`}`,
    { subject: id, hint: 'end what uses it and unmount it first' },
  );
}

function usesOf(directory: string, table: readonly MountTableEntry[]): string[] {
  const upper = `upperdir=${directory}`;
  const writes = (option: string): boolean => option === upper || option.startsWith(`${upper}/`);
  const over = table.filter((entry) => entry.superOptions.some(writes));
  return [...mountsBelow(table, directory), ...over].map((entry) => entry.mountPoint);
}
