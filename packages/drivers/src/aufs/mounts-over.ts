import { mountsBelow, readMountTable, type MountTableEntry } from '@layerstore/linux';

/**
 * Where a layer is mounted: anything at `mountPoint`, and every overlay that has its directory as upper or lower under one
 * of `names`. The kernel's table is asked, so mounts of other programs count; those in other mount namespaces are not seen.
 */
export function mountsOver(mountPoint: string, names: readonly string[]): string[] {
  const table = readMountTable();
  const over = table.filter(
    (entry) => entry.type === 'overlay' && layersOf(entry).some((layer) => names.includes(layer)),
  );
  return [...new Set([...mountsBelow(table, mountPoint), ...over].map((entry) => entry.mountPoint))];
}

/** True when an overlay is mounted that has a layer at or below `directory`, or may have one: relative names do not tell. */
export function isMountedFrom(directory: string): boolean {
  return readMountTable().some(
    (entry) =>
      entry.type === 'overlay' &&
      layersOf(entry).some(
        (layer) => !layer.startsWith('/') || layer === directory || layer.startsWith(`${directory}/`),
      ),
  );
}

function layersOf(entry: MountTableEntry): string[] {
  return entry.superOptions.flatMap((option) => {
    const [key, value] = split(option);
    if (key === 'lowerdir+' || key === 'upperdir') return [value];
    return key === 'lowerdir' ? value.split(':') : [];
  });
}

function split(option: string): [key: string, value: string] {
  const equals = option.indexOf('=');
  return equals < 0 ? [option, ''] : [option.slice(0, equals), option.slice(equals + 1)];
}
